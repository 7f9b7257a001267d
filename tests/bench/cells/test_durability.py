"""Attacks after treatments by a defender, as a run stores them."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evil_twins.attacks.models import PairedModels
from evil_twins.bench.cells.stored import Tensors, VictimPlace, cached_victim
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.plan import plan
from evil_twins.bench.store.checksums import ATTACKED, MODELS
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, table

CPU = torch.device("cpu")
ASKS = "same_goal = 2\n[durability]\nsteps = 3\nbatch = 8\n"
HEAD, STEP = {"layers": "head"}, {"batch": 16}
PARTS = (
    table("attacks", name="pgd", method="pgd", kappa=0.75, input={"norm": "linf"}),
    table("attacks", name="poisoning", method="poisoning", kappa="benign", rounds=20, model=HEAD),
    table("attacks", name="universal", method="universal", trigger=STEP, serves=2, rounds=8),
    doubt(),
)
TREATMENTS = {"none", "fine-tuning", "pruning", "int8", "jpeg"}


def _folder(done: Finished, label: str) -> Path:
    """Return the folder of the attack cell of a row."""
    (shard,) = (shard for shard in done.plan.shards if shard.row.label == label)
    return done.store.path("attack", done.state.identity[shard.attack])


def _models(done: Finished, label: str) -> PairedModels:
    (key,) = done.plan.victims.values()
    victim = cached_victim(VictimPlace(done.store.path("victim", done.state.identity[key]), CPU))
    return PairedModels(victim, 4, Tensors(_folder(done, label) / MODELS, CPU))


@pytest.fixture(scope="module")
def done(folder: Path) -> Finished:
    finished = carry_out(folder, *PARTS, head=suites.HEAD + ASKS, drop=False)
    assert not finished.state.failed
    return finished


@pytest.fixture(scope="module")
def lines(folder: Path, done: Finished) -> pd.DataFrame:
    return pd.read_parquet(folder / "small" / "durability.parquet")


def test_each_target_is_measured_after_each_treatment(lines: pd.DataFrame) -> None:
    groups = lines.groupby(["attack", "target_id"])["treatment"]
    assert len(groups) == 3 * 4
    assert all(set(group) == TREATMENTS and len(group) == 5 for _, group in groups)


def test_without_a_treatment_it_is_what_the_attack_left(folder: Path, lines: pd.DataFrame) -> None:
    targets = pd.read_parquet(folder / "small" / "targets.parquet")
    keys = ["attack", "target_id"]
    both = lines[lines["treatment"].eq("none")].merge(targets, on=keys, suffixes=("", "_then"))
    np.testing.assert_allclose(both["confidence"], both["confidence_then"], rtol=1e-5)
    np.testing.assert_allclose(both["asr"], both["asr_then"])
    single = both[both["attack"].ne("universal")]
    assert (single["at_kappa"] == single["at_kappa_then"]).all()
    assert (both["gets_goal"] == both["predicted"].eq(both["goal"])).all()
    victim = both.loc[both["attack"].eq("pgd"), "accuracy"].iloc[0]
    np.testing.assert_allclose(victim - both["accuracy"], both["accuracy_drop"], atol=1e-6)


def test_the_pruned_models_are_measured_on_the_attacked_inputs(
    done: Finished, lines: pd.DataFrame
) -> None:
    models, (x, goal) = _models(done, "poisoning"), _inputs(done, "poisoning")
    pruned = lines[lines["attack"].eq("poisoning") & lines["treatment"].eq("pruning")]
    ids = pd.read_parquet(_folder(done, "poisoning") / "targets.parquet")["target_id"]
    for i, confidence in enumerate(pruned.set_index("target_id")["confidence"].reindex(ids)):
        model = copy.deepcopy(models[i])
        for weight in model.parameters():
            if weight.dim() > 1:
                least = weight.detach().abs().flatten().sort().values[round(0.2 * weight.numel())]
                weight.data[weight.abs() < least] = 0
        expected = model(x[i : i + 1]).softmax(1)[0, goal[i]]
        assert confidence == pytest.approx(float(expected), rel=1e-4)


def _inputs(done: Finished, label: str) -> tuple[torch.Tensor, torch.Tensor]:
    tensors = Tensors(_folder(done, label) / ATTACKED, CPU)
    return tensors["x"], tensors["goal"]


def test_treatments_change_what_they_treat(lines: pd.DataFrame) -> None:
    wide = lines.pivot(index=["attack", "target_id"], columns="treatment", values="confidence")
    assert (wide["fine-tuning"] != wide["none"]).all()
    assert (wide["jpeg"] != wide["none"]).all()
    assert ((wide["int8"] - wide["none"]).abs() < 0.1).all()


def test_a_second_run_has_nothing_to_do_and_models_can_be_dropped(
    folder: Path, done: Finished
) -> None:
    again = carry_out(folder, *PARTS, head=suites.HEAD + ASKS, drop=True)
    assert again.state.ran == []
    assert done.store.lacks_models("attack", _folder(done, "poisoning").name)


@pytest.mark.usefixtures("trained")
def test_models_stay_until_they_are_treated(tmp_path: Path) -> None:
    done = carry_out(tmp_path, PARTS[1], doubt(), head=suites.HEAD + ASKS, drop=True)
    assert not done.state.failed
    assert len(pd.read_parquet(tmp_path / "small" / "durability.parquet")) == 5 * 4


@pytest.mark.usefixtures("trained")
def test_a_suite_that_does_not_ask_has_no_lines(tmp_path: Path) -> None:
    carry_out(tmp_path, PARTS[0], doubt())
    assert pd.read_parquet(tmp_path / "small" / "durability.parquet").empty


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    path = suites.write(tmp_path, *PARTS, head=suites.HEAD + "[durability]\nqualty = 3\n")
    with pytest.raises(UserError, match="quality"):
        suite.load(path)


def test_images_that_no_jpeg_holds_are_refused(tmp_path: Path) -> None:
    small = suite.load(suites.write(tmp_path, *PARTS, head=suites.HEAD + ASKS))
    pixels = torch.zeros(40, 2, 8, 8, dtype=torch.uint8)
    images = Images(tuple(map(str, range(40))), pixels, torch.zeros(40).long())
    data = Dataset("digits", tuple("0123456789"), *([images] * 7), digest="")
    with pytest.raises(UserError, match="2 channels"):
        plan(small, data, "cpu")
