"""The built-in suites, planned on data sets of their sizes."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from evil_twins.attacks import ATTACKS
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
    "gtsrb-small": (7_949, 43, (3, 32, 32)),
    "gtsrb-small-1": (7_949, 43, (3, 32, 32)),
    "gtsrb-small-2": (7_949, 43, (3, 32, 32)),
    "gtsrb-small-second": (7_949, 43, (3, 32, 32)),
    "detectors": (7_949, 43, (3, 32, 32)),
    "gtsrb-retrained": (7_949, 43, (3, 32, 32)),
    "cifar10-small": (10_000, 10, (3, 32, 32)),
    "fashion-small": (10_000, 10, (1, 28, 28)),
    "cifar10": (10_000, 10, (3, 32, 32)),
    "gtsrb": (12_630, 43, (3, 32, 32)),
    "imagenet20": (1_000, 20, (3, 224, 224)),
    "isic": (1_512, 7, (3, 224, 224)),
}
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
    both, phis = (0.75, 0.9), (0.1, 0.25, 0.5, 0.75)
    # The rows of the claims: the whole sweep at one efficacy, most of it at the other.
    claimed = {(kappa, phi) for kappa in both for phi in phis} | {(0.75, 0.9)}
    assert claimed <= set(rows["imc-head"]) <= claimed | {(0.9, 0.9)}
    assert rows["poisoning-all"] + rows["imc-all"] == [
        (0.75, phi) for phi in (0.0, 0.25, 0.5, 0.75)
    ]
    for label in ("pgd-linf", "bisection", "apgd", "fab", "noise-linf"):
        assert [kappa for kappa, _ in rows[label]] == list(both)
    for label, phi in (("poisoning-head", 0.0), ("convex-head", 0.0)):
        assert rows[label] == [(kappa, phi) for kappa in both]
    once = {"untouched", "fine-tuning-head", "pgd-linf-first", "imc-head-first"}
    assert once | {"algorithm-1", "algorithm-1-half"} <= rows.keys()
    least = {"gtsrb-small": 100, "cifar10-small": 60, "fashion-small": 60}
    assert loaded.targets.count >= least.get(name, 90)
    scored = [row for row in loaded.rows if row.scored]
    assert min(row.count for row in scored) >= 40
    assert min(row.count for row in loaded.rows) >= 20
    columns = [column.label for column in loaded.columns]
    assert columns == [column.label for column in suite.load("gtsrb-small").columns]
    assert set(columns) >= {column.label for column in suite.load("quick").columns}


@pytest.mark.parametrize("name", PAPER)
def test_rows_of_one_kappa_share_their_radii(name: str) -> None:
    loaded, cells = planned(name)
    unit = [cell for cell in cells.cells.values() if cell.label.startswith("radii of")]
    assert not unit  # the row pgd-linf gives them all
    shards = -(-loaded.targets.count // loaded.targets.shard)
    pgd = [cell for cell in cells.cells.values() if cell.label == "pgd-linf"]
    assert len(pgd) == 2 * shards


@pytest.mark.parametrize("seed", [1, 2])
def test_another_victim_meets_rows_of_the_first(seed: int) -> None:
    first, other = (suite.load(name) for name in ("gtsrb-small", f"gtsrb-small-{seed}"))
    assert (first.victim.seed, other.victim.seed) == (0, seed)
    assert first.columns == other.columns
    rows = {row.title: row for row in first.rows}
    for row in other.rows:
        base = rows[row.title]
        assert (row.attack, row.scored) == (base.attack, base.scored)
        assert row.count == min(40, base.count)


def test_the_suite_of_detectors_has_them_all_on_the_victim_of_gtsrb_small() -> None:
    loaded, cells = planned("detectors")
    _, small = planned("gtsrb-small")
    assert cells.cells[cells.victims[0]] == small.cells[small.victims[0]]
    named = {column.detector.place for column in loaded.columns}
    of_inputs = {place for name, place in DETECTORS.items() if name != "inspection"}
    others = named - of_inputs
    assert named - others == of_inputs
    assert {place.partition(":")[0] for place in others} == {
        "evil_twins.bench.components.adapters.ood"
    }
    assert all(row.scored and row.count == 40 for row in loaded.rows)
    attacking = {row.attack.place for row in loaded.rows}
    yardsticks = {ATTACKS[name] for name in ("within", "plain-steps", "proposition")}
    assert set(ATTACKS.values()) - yardsticks <= attacking
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
    assert len({cell.parents["trusted"] for cell in second}) == 1
    assert not [cell for cell in cells.cells.values() if cell.label.startswith("radii of")]
