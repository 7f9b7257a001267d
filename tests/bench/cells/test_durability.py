"""Attacks after treatments by a defender, as a run stores them."""

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from evil_twins.attacks.stamps import Stamp
from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.benign import drawn_log_odds
from evil_twins.bench.cells.stored import Tensors, VictimPlace, cached_victim
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.plan import plan
from evil_twins.bench.run.selection import Choice
from evil_twins.bench.store.checksums import ATTACKED, MODELS
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.subjects.durability import Treatments
from evil_twins.bench.subjects.treatments import compress, fine_tune, prune, quantise
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.runs import carry_out, planned
from tests.bench.suites import doubt, table

CPU = torch.device("cpu")
ASKS = """
same_goal = 2
[durability]
steps = 3
batch = 8
lr = 0.05
pruned = 0.3
quality = 40
"""
STEP, PATCH = {"batch": 16}, {"kind": "patch", "side": 0.25}
HEAD, ALL, SHARED = (
    {"layers": "head"},
    {"layers": "all", "batch": 16},
    {"layers": "head", "serves": 2},
)
PARTS = (
    table("attacks", name="pgd", method="pgd", kappa=0.75, input={"norm": "linf"}),
    table("attacks", name="poisoning", method="poisoning", kappa="benign", rounds=20, model=HEAD),
    table("attacks", name="shared", method="poisoning", kappa=0.6, rounds=20, model=SHARED),
    table("attacks", name="universal", method="universal", trigger=STEP, serves=2, rounds=8),
    table("attacks", name="patch", method="backdoor", trigger=PATCH, serves=2, rounds=4, model=ALL),
    doubt(),
)
TREATMENTS = {"none", "fine-tuning", "pruning", "int8", "jpeg"}


def _folder(done: Finished, label: str) -> Path:
    """Return the folder of the attack cell of a row."""
    (shard,) = (shard for shard in done.plan.shards if shard.row.label == label)
    return done.store.path("attack", done.state.identity[shard.attack])


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
    assert len(groups) == 5 * 4
    assert all(set(group) == TREATMENTS and len(group) == 5 for _, group in groups)


def test_without_a_treatment_it_is_what_the_attack_left(folder: Path, lines: pd.DataFrame) -> None:
    targets = pd.read_parquet(folder / "small" / "targets.parquet")
    keys = ["attack", "target_id"]
    both = lines[lines["treatment"].eq("none")].merge(targets, on=keys, suffixes=("", "_then"))
    np.testing.assert_allclose(both["confidence"], both["confidence_then"], rtol=1e-5)
    np.testing.assert_allclose(both["asr"], both["asr_then"])
    single = both[both["asr"].isna()]
    assert (single["at_kappa"] == single["at_kappa_then"]).all()
    assert (both["gets_goal"] == both["predicted"].eq(both["goal"])).all()
    victim = both.loc[both["attack"].eq("pgd"), "accuracy"].iloc[0]
    np.testing.assert_allclose(victim - both["accuracy"], both["accuracy_drop"], atol=1e-6)


@pytest.mark.parametrize("label", ["pgd", "poisoning", "shared", "universal", "patch"])
@pytest.mark.parametrize("treatment", sorted(TREATMENTS))
def test_every_number_is_that_of_the_treated_model_by_itself(
    done: Finished, lines: pd.DataFrame, label: str, treatment: str
) -> None:
    stored = lines[lines["attack"].eq(label) & lines["treatment"].eq(treatment)]
    heldout, settings = done.data.heldout, Treatments(3, 0.05, 8, 0.3, 40)
    for i, line in enumerate(stored.set_index("target_id").loc[_ids(done, label)].itertuples()):
        model, x, goal, stamp = _case(done, label, i)
        if treatment == "fine-tuning":
            first = i if label == "poisoning" else i - i % 2
            name = "" if label in ("pgd", "universal") else _ids(done, label)[first]
            draws = seeds.generator("digits", name, "treatment", 0)
            fine_tune(model, done.data.fit, settings, draws)
        elif treatment == "pruning":
            prune(model, settings)
        elif treatment == "int8":
            quantise(model)

        def arrives(images: torch.Tensor) -> torch.Tensor:
            return compress(images, settings) if treatment == "jpeg" else images

        with torch.no_grad():
            sure = model(arrives(x)).double().softmax(1)[0]
            right = model(arrives(heldout.x)).argmax(1) == heldout.label
            assert line.confidence == pytest.approx(float(sure[goal]), abs=1e-5)
            assert line.gets_goal == (int(sure.argmax()) == goal)
            assert line.accuracy == pytest.approx(float(right.double().mean()), abs=1e-6)
            if stamp is None:
                assert line.at_kappa == (float(sure[goal]) >= _level(done, label, i))
                assert np.isnan(line.asr)
                continue
            others = heldout.label != goal
            z = model(arrives(stamp(heldout.x.unsqueeze(0))[0][others]))
            assert line.asr == pytest.approx(float((z.argmax(1) == goal).double().mean()))
            assert not line.at_kappa


def _level(done: Finished, label: str, i: int) -> float:
    """Return the confidence that the row requires of a target."""
    if label != "poisoning":
        return {"pgd": 0.75, "shared": 0.6}[label]
    logits = _case(done, "pgd", 0)[0](done.data.fit.x)  # under the victim
    drawn = drawn_log_odds("digits", _ids(done, label), logits, done.data.fit.label)
    return float(drawn[i].sigmoid())


def _ids(done: Finished, label: str) -> list[str]:
    return list(pd.read_parquet(_folder(done, label) / "targets.parquet")["target_id"])


def _case(done: Finished, label: str, i: int) -> tuple[nn.Module, torch.Tensor, int, Stamp | None]:
    """Return model, input, goal and trigger of a target, from the files of its attack."""
    (key,) = done.plan.victims.values()
    victim = cached_victim(VictimPlace(done.store.path("victim", done.state.identity[key]), CPU))
    folder, model = _folder(done, label), copy.deepcopy(victim)
    if (folder / MODELS).exists():
        for name, value in Tensors(folder / MODELS, CPU).items():
            model.get_parameter(name).data.copy_(value[i])
    tensors = Tensors(folder / ATTACKED, CPU)
    stamp = None
    if "pattern" in tensors:
        stamp = Stamp(tensors["mask"], tensors["pattern"]).rows(torch.tensor([i // 2]))
    return model, tensors["x"][i : i + 1], int(tensors["goal"][i]), stamp


def test_targets_that_share_a_model_share_its_fine_tuning(lines: pd.DataFrame) -> None:
    tuned = lines[lines["treatment"].eq("fine-tuning")].groupby("attack")["accuracy"].nunique()
    assert tuned["pgd"] == 1
    assert tuned["shared"] <= 2


def test_treatments_change_what_they_treat(lines: pd.DataFrame) -> None:
    wide = lines.pivot(index=["attack", "target_id"], columns="treatment", values="confidence")
    for treatment in TREATMENTS - {"none"}:
        assert (wide[treatment] != wide["none"]).all()
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


def test_a_choice_of_detectors_treats_nothing(done: Finished) -> None:
    kinds = Counter(cell.kind for cell in Choice(only=("doubt",))(done.plan).cells.values())
    assert kinds["score"] == 5
    assert kinds["durability"] == 0
    chosen = Choice(only=("pgd",), force=True)
    forced = {done.plan.cells[key].kind for key in chosen.forced(chosen(done.plan))}
    assert "durability" in forced


@pytest.mark.usefixtures("trained")
def test_a_row_without_scores_is_not_treated(tmp_path: Path) -> None:
    unscored = table("attacks", method="noise", kappa=0.75, input={"norm": "linf"}, scored=False)
    cells = planned(tmp_path, PARTS[0], unscored, doubt(), head=suites.HEAD + ASKS).cells
    assert sum(cell.kind == "durability" for cell in cells.values()) == 1


@pytest.mark.usefixtures("trained")
def test_a_fine_tuning_that_diverges_is_named(tmp_path: Path) -> None:
    head = suites.HEAD + "[durability]\nsteps = 40\nlr = 1e30\n"
    done = carry_out(tmp_path, PARTS[0], doubt(), head=head)
    (reason,) = done.state.failed.values()
    assert "fine-tuning diverged; set durability.lr" in reason


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
