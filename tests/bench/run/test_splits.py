"""Data sets that are large enough for a suite, and other shares of their splits."""

from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.plan import plan
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.splits import USUAL
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.suites import doubt, shift


@pytest.mark.parametrize("split", ["fit", "heldout"])
def test_a_split_without_an_image_is_refused(tmp_path: Path, split: str) -> None:
    usual = asdict(USUAL)
    shares = usual | {split: 1e-4, "development": usual["development"] + usual[split] - 1e-4}
    lines = "\n".join(f"{name} = {share}" for name, share in shares.items())
    head = f"{suites.HEAD}[splits]\n{lines}\n"
    small = suite.load(suites.write(tmp_path, shift(), doubt(), head=head))
    with pytest.raises(UserError, match=f"the split '{split}' of digits holds no image"):
        plan(small, load("digits", splits=small.splits), "cpu")


@pytest.mark.parametrize(
    ("classes", "detector", "said"),
    [
        (1, "confidence", "has 1 class, so that no image has another class as its goal"),
        (2, "inspection", "detector 'inspection' needs 4 classes; digits has 2"),
        (3, "inspection", "detector 'inspection' needs 4 classes; digits has 3"),
    ],
)
def test_too_few_classes_are_known_before_training(
    tmp_path: Path, classes: int, detector: str, said: str
) -> None:
    path = suites.write(tmp_path, shift(), doubt(), suites.table("detectors", method=detector))
    few = replace(load("digits"), classes=tuple(str(i) for i in range(classes)))
    with pytest.raises(UserError, match=said):
        plan(suite.load(path), few, "cpu")


def test_the_list_that_is_not_attacked_may_be_empty(tmp_path: Path) -> None:
    head = suites.HEAD + "[splits]\ndevelopment = 0.0001\nheldout = 0.4499\n"
    path = suites.write(tmp_path, shift(), doubt(), head=head)
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "1"]) == 0
    assert len(pd.read_parquet(tmp_path / "small" / "targets.parquet")) == 4


def test_other_shares_of_the_test_half_reach_every_cell(tmp_path: Path) -> None:
    head = suites.HEAD + "[splits]\nheldout = 0.26\nconfirmatory = 0.25\n"
    path = suites.write(tmp_path, shift(poison=True), doubt(), head=head)
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "2"]) == 0
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    assert set(targets["heldout"]) == {234}
    assert set(pd.read_parquet(tmp_path / "small" / "victims.parquet")["images"]) == {898}
