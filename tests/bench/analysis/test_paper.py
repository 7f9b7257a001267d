"""The paper's numbers, and the data sets that they are compared with."""

import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.paper import comparison, published
from evil_twins.bench.analysis.tables import Analysis, Table
from evil_twins.bench.analysis.tables.specificity import SPECIFICITY
from evil_twins.bench.analysis.tables.victims import VICTIMS
from tests.bench import claimed


def test_stored_points_run_from_pgd_to_poisoning() -> None:
    for value in published().values():
        for kappa, curve in value.curves.items():
            assert len(curve.linf) == len(curve.drop) == 8, (value.name, kappa)
            assert curve.points[0] == (1, 0)
            assert curve.points[-1] == (0, 1)


def test_the_gap_on_the_left_of_the_stored_points() -> None:
    first = {name: [c.first for c in value.curves.values()] for name, value in published().items()}
    assert first["cifar10"] == pytest.approx([0.365, 0.276], abs=1e-3)
    assert first["gtsrb"] == pytest.approx([0.634, 0.642], abs=1e-3)
    assert first["imagenet"] == pytest.approx([0.692, 0.702], abs=1e-3)
    assert first["isic"] == pytest.approx([0.387, 0.603], abs=1e-3)
    odd = [
        (name, k) for name, value in published().items() for k, c in value.curves.items() if c.odd
    ]
    assert odd == [("gtsrb", 0.9)]


def test_how_the_printed_drops_compare_with_the_stored_ones() -> None:
    said = {name: value.table2 for name, value in published().items()}
    assert said["cifar10"].endswith("after swapping the two κ")
    assert said["gtsrb"] == said["cifar10"]
    assert said["imagenet"] == "printed drops are the stored ones"
    assert said["isic"] == "printed drops are not the stored ones"


@pytest.mark.parametrize(
    ("dataset", "name", "data"),
    [
        ("cifar10", "CIFAR10", "same data"),
        ("gtsrb", "GTSRB", "other split"),
        ("isic2018", "ISIC", "other split"),
        ("folder:gtsrb", "GTSRB", "other copy"),
        ("folder:cifar10", "CIFAR10", "other copy"),
        ("folder:imagenet20", "ImageNet", "other copy"),
    ],
)
def test_what_stands_beside_a_data_set(dataset: str, name: str, data: str) -> None:
    outcome = comparison(dataset)
    assert outcome is not None
    assert (outcome.paper.name, outcome.data) == (name, data)


@pytest.mark.parametrize("dataset", ["digits", "fashion-mnist", "folder:mine"])
def test_nothing_stands_beside_what_the_paper_does_not_study(dataset: str) -> None:
    assert comparison(dataset) is None


def _page(table: Table, analysis: Analysis) -> str:
    assert table.markdown is not None
    return table.markdown(analysis)


def _world(dataset: str) -> dict[str, pd.DataFrame]:
    records = claimed.frames(claimed.World(n=20, dataset=dataset))
    poisoned = records["targets"]["method"] == "poisoning"
    drops = [0.02, -0.01] * int(poisoned.sum() // 2)
    records["targets"].loc[poisoned, "accuracy_drop"] = drops
    return records


def test_poisoning_stands_beside_table_2() -> None:
    analysis = Analysis(tables.number(_world("folder:gtsrb")))
    table = analysis.table(SPECIFICITY).set_index("kappa")
    assert list(table.index) == [0.75, 0.9]
    value = table.loc[0.75]
    assert (value["paper_data"], value["paper_victim"]) == ("other copy", "resnet18")
    assert value["paper_drop"] == pytest.approx(0.0025)
    assert value["paper_stored"] == pytest.approx(0.00271)
    assert value["specificity"] == pytest.approx(claimed.FLIPS / claimed.HELDOUT)
    assert value["specificity_low"] < value["specificity"] < value["specificity_high"]
    assert (value["drop"], value["drop_cut"]) == (pytest.approx(0.005), pytest.approx(0.01))
    assert value["drop_cut_low"] < 0.01 < value["drop_cut_high"]
    assert value["kl_low"] < value["kl"] < value["kl_high"]
    page = _page(SPECIFICITY, analysis)
    assert "folder:gtsrb: printed drops are the stored ones after swapping the two κ" in page
    assert "| other copy | 0.25 | 0.271 |" in page


def test_without_a_counterpart_the_columns_of_the_paper_are_empty() -> None:
    analysis = Analysis(tables.number(_world("fashion-mnist")))
    table = analysis.table(SPECIFICITY)
    assert table["paper_drop"].isna().all()
    page = _page(SPECIFICITY, analysis)
    assert "stored in its authors'" not in page


def test_accuracy_has_an_interval_where_its_images_are_known() -> None:
    records = claimed.frames(claimed.World(n=2, dataset="folder:gtsrb"))
    key = {"dataset": "folder:gtsrb", "victim": "resnet18-narrow", "seed": 0, "accuracy": 0.98}
    records["victims"] = pd.DataFrame([key | {"images": 1000, "content": "", "computed": ""}])
    analysis = Analysis(tables.number(records))
    table = analysis.table(VICTIMS)
    value = table.iloc[0]
    assert value["accuracy_low"] == pytest.approx(0.9693, abs=1e-3)
    assert value["accuracy_high"] == pytest.approx(0.9877, abs=1e-3)
    assert "| 98 [96.93, 98.77] | other copy | resnet18 | 99.12% |" in _page(VICTIMS, analysis)


def test_the_tables_say_how_a_folder_of_images_is_encoded() -> None:
    records = claimed.frames(claimed.World(n=2, dataset="folder:gtsrb"))
    targets = records["targets"]
    targets["target_id"] = "test/a/" + targets["target_id"].str.replace("/", "-") + ".JPG"
    key = {"dataset": "folder:gtsrb", "victim": "resnet18-narrow", "seed": 0, "accuracy": 0.98}
    records["victims"] = pd.DataFrame(
        [key | {"images": 1000}, key | {"images": 9, "dataset": "digits"}]
    ).assign(content="", computed="")
    analysis = Analysis(tables.number(records))
    table = analysis.table(VICTIMS)
    assert dict(zip(table["dataset"], table["files"], strict=True)) == {
        "folder:gtsrb": "jpeg",
        "digits": "",
    }
    assert "| 1,000 JPEG | 98 [" in _page(VICTIMS, analysis)


def test_no_poisoning_no_table() -> None:
    records = claimed.frames(claimed.World(n=4))
    for name in ("targets", "scores"):
        records[name] = records[name][records[name]["method"] == "pgd"]
    assert Analysis(tables.number(records)).table(SPECIFICITY).empty
