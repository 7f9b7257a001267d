"""The built-in suites, planned on data sets of their sizes."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from evil_twins.attacks import ATTACKS
from evil_twins.bench.analysis.claims.rules import rules
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.suite import suite
from evil_twins.detectors import DETECTORS

# Images of the test half, classes and shape of an image.
SIZES = {
    "quick": (898, 10, (1, 8, 8)),
    "quick-full": (898, 10, (1, 8, 8)),
    "aware": (898, 10, (1, 8, 8)),
    "load": (898, 10, (1, 8, 8)),
    "inspection": (898, 10, (1, 8, 8)),
    "clean-label": (898, 10, (1, 8, 8)),
    "triggers": (898, 10, (1, 8, 8)),
    "durability": (898, 10, (1, 8, 8)),
    "gtsrb-small": (7_949, 43, (3, 32, 32)),
    "detectors": (898, 10, (1, 8, 8)),
    "gtsrb-retrained": (7_949, 43, (3, 32, 32)),
    "gtsrb-retrained-on": (7_949, 43, (3, 32, 32)),
    "cifar10-small": (10_000, 10, (3, 32, 32)),
    "fashion-small": (10_000, 10, (1, 28, 28)),
    "cifar10": (10_000, 10, (3, 32, 32)),
    "gtsrb": (12_630, 43, (3, 32, 32)),
    "imagenet20": (1_000, 20, (3, 224, 224)),
    "isic": (1_512, 7, (3, 224, 224)),
}
OF_MODELS = {"inspection", "last-layer", "neural-cleanse"}
PAPER = ("gtsrb-small", "cifar10-small", "fashion-small", "cifar10", "gtsrb", "imagenet20", "isic")


def blank(count: int) -> Images:
    """Make images without pixels: a plan uses only numbers."""
    ids = tuple(f"{count}/{i}" for i in range(count))
    return Images(ids, torch.empty(count, 3, 0, 0, dtype=torch.uint8), torch.zeros(count).long())


def planned(name: str) -> tuple[suite.Suite, Plan]:
    loaded = suite.load(name)
    test, classes, _ = SIZES[name]
    share = asdict(loaded.splits)
    edges = np.rint(np.cumsum([0.0, *share.values()]) * test).astype(int)
    sizes = dict(zip(share, np.diff(edges).tolist(), strict=True))
    splits = {split: blank(size) for split, size in {"train": 10, **sizes}.items()}
    names = tuple(str(i) for i in range(classes))
    data = Dataset(loaded.dataset, names, **splits, digest="")
    return loaded, plan(loaded, data, "cuda")


def test_every_suite_is_planned_here() -> None:
    assert set(SIZES) == set(suite.built_in())


@pytest.mark.parametrize("name", SIZES)
def test_a_suite_fits_the_data_that_it_is_for(name: str) -> None:
    loaded, cells = planned(name)
    test, _, shape = SIZES[name]
    assert loaded.size in (None, shape[1])
    assert {shard.row.title for shard in cells.shards} == {row.title for row in loaded.rows}
    # Some of the confirmatory list may be misclassified.
    assert loaded.targets.count <= 0.92 * loaded.splits.confirmatory * test
    for shard in cells.shards:
        for label, key in shard.scores.items():
            images = cells.cells[shard.benign.get(label, key)].spec["benign"]
            assert images["size"] >= 1


@pytest.mark.parametrize("name", PAPER)
def test_the_rows_of_the_paper(name: str) -> None:
    loaded, _ = planned(name)
    rows = dict[str, list[tuple[float, float]]]()
    for row in loaded.rows:
        rows.setdefault(row.label, []).append((row.kappa, row.phi))
    # The rows of the claims: the whole sweep at two efficacies, most at the third; 1 is "benign".
    kappas, phis = (1.0, 0.75, 0.9), (0.1, 0.25, 0.5, 0.75)
    claimed = {(kappa, phi) for kappa in kappas for phi in phis} | {(1.0, 0.9), (0.75, 0.9)}
    assert claimed <= set(rows["imc-head"]) <= claimed | {(0.9, 0.9)}
    assert (1.0, 0.0) in rows["poisoning-all"]
    assert (1.0, 0.5) in rows["imc-all"]
    for label in ("pgd-linf", "bisection", "apgd", "fab"):
        assert {kappa for kappa, _ in rows[label]} == set(kappas)
    for label, phi in (("poisoning-head", 0.0), ("convex-head", 0.0)):
        assert set(rows[label]) == {(kappa, phi) for kappa in kappas}
    once = {"untouched", "noise-linf", "fine-tuning-head", "pgd-linf-first", "imc-head-first"}
    assert once | {"algorithm-1", "algorithm-1-half", "algorithm-1-printed"} <= rows.keys()
    targets = loaded.targets.count * loaded.victim.count
    assert targets >= 60
    assert min(loaded.targets.count, loaded.targets.count * loaded.targets.benign) >= 8
    columns = [column.label for column in loaded.columns]
    assert columns == [column.label for column in suite.load("gtsrb-small").columns]
    assert set(columns) >= {c.label for c in suite.load("quick").columns} - {"curvature-adjusted"}


@pytest.mark.parametrize("name", PAPER)
def test_rows_of_one_kappa_share_their_radii(name: str) -> None:
    loaded, cells = planned(name)
    unit = [cell for cell in cells.cells.values() if cell.label.startswith("radii of")]
    assert not unit  # the row pgd-linf gives them all
    shards = -(-loaded.targets.count // loaded.targets.shard) * loaded.victim.count
    pgd = [cell for cell in cells.cells.values() if cell.label == "pgd-linf"]
    assert len(pgd) == 3 * shards


@pytest.mark.parametrize("name", ["gtsrb-retrained", "gtsrb-retrained-on"])
def test_what_is_retrained_shares_goals_and_rows_with_the_suite_before(name: str) -> None:
    before, after = suite.load("gtsrb-small"), suite.load(name)
    assert after.victim.recipe == before.victim.recipe
    assert before.seeds[: len(after.seeds)] == after.seeds
    assert len(after.seeds) >= rules().claims["j"].victims
    # The lists are those before, and the targets of both overlap.
    first, last = after.targets.after, after.targets.after + after.targets.count
    assert (after.targets.list, after.targets.goals) == (before.targets.list, before.targets.goals)
    assert first < before.targets.after < last < before.targets.after + before.targets.count
    attacks = {row.title: row.attack for row in before.rows}
    assert all(row.attack == attacks[row.title] for row in after.rows)


def test_the_suite_of_detectors_has_them_all() -> None:
    loaded, cells = planned("detectors")
    _, quick = planned("quick")
    assert cells.cells[cells.victims[0]] == quick.cells[quick.victims[0]]
    named = {column.detector.place for column in loaded.columns}
    triggers = suite.load("triggers")
    of_triggers = {column.detector.place for column in triggers.columns} - named
    of_inputs = {place for name, place in DETECTORS.items() if name not in OF_MODELS}
    others = named - of_inputs
    assert (named - others) | of_triggers == of_inputs
    assert {place.partition(":")[0] for place in others} == {
        "evil_twins.bench.components.adapters.ood"
    }
    assert all(row.scored and row.count == 8 for row in loaded.rows)
    attacking = {row.attack.place for row in loaded.rows}
    yardsticks = {ATTACKS[name] for name in ("within", "plain-steps", "proposition")}
    carrying = {row.attack.place for row in triggers.rows}
    assert set(ATTACKS.values()) - yardsticks <= attacking | carrying
    assert (
        len(
            {
                place
                for place in attacking
                if place.startswith("evil_twins.bench.components.adapters.")
            }
        )
        == 4
    )
    second = [cell for cell in cells.cells.values() if "trusted" in cell.parents]
    assert {cell.label for cell in second} == {"disagreement-independent"}
    assert len({cell.parents["trusted"] for cell in second}) == loaded.victim.count
    assert not [cell for cell in cells.cells.values() if cell.label.startswith("radii of")]
