"""An image on which a detector fails has no score; no other image loses its score."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from evil_twins.bench.analysis.tables.decisions import cells
from evil_twins.bench.analysis.tables.records import read
from evil_twins.bench.cells.fitting import scores_with_gaps
from evil_twins.bench.commands import app
from evil_twins.bench.errors import Fault
from tests.bench.run.test_scoring import model
from tests.bench.runs import carry_out
from tests.bench.suites import shift, table, write

pytestmark = pytest.mark.usefixtures("trained")

COUNT = 30


def images(count: int = COUNT) -> Tensor:
    """Return images whose first pixel is their position."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 1, 2, 2)


def first_pixel(bad: set[int], how: str) -> Callable[[Tensor], Tensor]:
    """Return a scorer that fails on some images, by an error or by NaN."""

    def score(x: Tensor) -> Tensor:
        values = x[:, 0, 0, 0].double()
        wrong = torch.tensor([int(value) in bad for value in values])
        if how == "raises" and wrong.any():
            raise torch.linalg.LinAlgError("no convergence")
        return torch.where(wrong, torch.nan, values)

    return score


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, COUNT - 1), max_size=3), st.sampled_from(["raises", "NaN"]))
def test_a_failing_image_has_no_score_and_every_other_one_has_its_own(
    bad: set[int], how: str
) -> None:
    values, reasons = scores_with_gaps(first_pixel(bad, how), images(), "it")
    assert set(reasons) == bad
    assert set(values.isnan().nonzero().flatten().tolist()) == bad
    assert (values.isnan() | (values == torch.arange(COUNT))).all()
    assert all("no convergence" in why or "NaN" in why for why in reasons.values())


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(st.sets(st.integers(0, COUNT - 1), max_size=3), st.sampled_from(["raises", "NaN"]))
def test_ten_thousand_sets_of_failing_images(bad: set[int], how: str) -> None:
    values, reasons = scores_with_gaps(first_pixel(bad, how), images(), "it")
    assert set(reasons) == set(values.isnan().nonzero().flatten().tolist()) == bad


WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "fails on every image": first_pixel(set(range(COUNT)), "raises"),
    "fails on too many": first_pixel({1, 9, 17, 25}, "NaN"),
    "takes a single image": lambda x: x.sum().reshape(1) if len(x) == 1 else x.sum((1, 2)),
    "takes few images": lambda x: first_pixel({*range(COUNT)} if len(x) > 4 else set(), "raises")(
        x
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_scorer_that_is_wrong_itself_fails_as_before_in_few_calls(name: str) -> None:
    calls = list[int]()

    def score(x: Tensor) -> Tensor:
        calls.append(len(x))
        return WRONG[name](x)

    with pytest.raises((Fault, torch.linalg.LinAlgError)) as error:
        scores_with_gaps(score, images(), "it")
    assert str(COUNT) in str(error.value) or "no convergence" in str(error.value)
    assert len(calls) <= COUNT


DETECTOR = """
import torch
from dataclasses import dataclass

@dataclass(frozen=True)
class Fragile:
    knowledge = "K0"
    preparation = None

    def fit(self, view):
        return Scorer()

class Scorer:
    def __call__(self, x):
        values = x.double().mean((1, 2, 3))
        if (abs(values - {mean}) < 1e-7).any():
            raise ArithmeticError("this image")
        return values

    def details(self, x):
        return {"mean": self(x)}
"""


def test_a_suite_keeps_the_other_scores_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(DETECTOR.replace("{mean}", "-1"))
    column = table("detectors", name="fragile", method=f"{tmp_path}/mine.py:Fragile")
    carry_out(tmp_path, shift(), column)
    before = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    lost = before[before["role"] == "attacked"].iloc[0]
    (tmp_path / "mine.py").write_text(DETECTOR.replace("{mean}", f"{lost['score']:.17g}"))
    done = carry_out(tmp_path, shift(), column)
    assert not done.state.failed
    after = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    gaps = after["score"].isna()
    assert 1 <= gaps.sum() <= 2  # another image may have the same mean
    assert after.loc[gaps, "target_id"].iloc[0] == lost["target_id"]
    pd.testing.assert_frame_equal(after[~gaps], before[~gaps])
    details = pd.read_parquet(tmp_path / "small" / "details.parquet")
    counts = details[details["name"] == "no score: ArithmeticError: this image"]
    assert counts["value"].sum() == gaps.sum()
    means = details[details["name"] == "mean"].set_index("target_id")["value"]
    assert set(details["name"]) == {"mean", *counts["name"]}
    attacked = after[after["role"] == "attacked"].set_index("target_id")["score"]
    pd.testing.assert_series_equal(means, attacked[means.index], check_names=False)
    assert means.isna().any()
    (cell,) = cells(read(tmp_path / "small"))
    assert cell.broken == gaps.sum()


def test_score_says_which_image_has_no_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = model(tmp_path / "victim.safetensors")
    x = np.random.default_rng(0).random((63, 1, 8, 8), dtype=np.float32)
    np.save(tmp_path / "x.npy", x[:3])
    np.save(tmp_path / "benign.npy", x[3:])
    mean = f"{x[1].astype(float).mean():.17g}"
    (tmp_path / "mine.py").write_text(DETECTOR.replace("{mean}", mean))
    column = table("detectors", name="fragile", method=f"{tmp_path}/mine.py:Fragile")
    line = [f"--victim={victim}", f"--faced={victim}", f"--out={tmp_path}/scores.csv"]
    line += [f"--inputs={tmp_path}/x.npy", f"--benign={tmp_path}/benign.npy"]
    assert app.main(["score", *line, f"--detectors={write(tmp_path, shift(), column)}"]) == 0
    assert "fragile: no score: ArithmeticError: this image" in capsys.readouterr().out
    lines = pd.read_csv(tmp_path / "scores.csv")
    assert lines["score"].isna().tolist() == lines["p"].isna().tolist() == [False, True, False]
    assert not lines["flagged"][1]
    assert lines["note"][1] == "no score: ArithmeticError: this image"
