"""Networks in memory, on arrays: the numbers are those of a suite."""

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import evil_twins as et
from tests.api import small_networks
from tests.api.small_networks import data, doubt, trained

ATTACKS = ("pgd", {"name": "IMC", "method": "imc", "phi": [0.5], "kappa": 0.9})
DETECTORS = ("confidence", doubt)


def evaluate(model: Any = None, **changes: Any) -> et.Result:
    arguments = {"attacks": ATTACKS, "detectors": DETECTORS, "targets": 4} | changes
    images = arguments.pop("data", data())
    return et.evaluate(trained() if model is None else model, images, **arguments)


@pytest.fixture(scope="module")
def result() -> et.Result:
    return evaluate()


def test_attacks_and_detectors_have_rates_and_tables(result: et.Result) -> None:
    assert result.failures.empty
    rates = result.rates.query("fpr_nominal == 0.05").set_index(["attack", "detector"])
    assert set(rates.index.get_level_values("detector")) == {"confidence", "doubt", "any"}
    assert rates.loc[("pgd", "confidence"), "at_kappa"] == 4
    assert set(result.targets["kappa"]) == {0.75, 0.9}
    assert set(result.targets["victim"]) == {"Sequential"}


def test_the_network_and_the_process_stay_as_they_are() -> None:
    model = trained()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    numbers, threads = torch.get_rng_state(), torch.get_num_threads()
    evaluate(attacks=["untouched"], detectors=["confidence"])
    assert model.training
    assert all(value.requires_grad for value in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), numbers)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def scores(result: et.Result) -> pd.DataFrame:
    keys = ["attack", "phi", "detector", "role", "target_id", "image_id"]
    return result.scores.sort_values(keys)[[*keys, "score"]].reset_index(drop=True)


@pytest.mark.parametrize("architecture", [f"{small_networks.__file__}:build", None])
def test_the_suite_of_an_evaluation_gives_its_numbers(
    result: et.Result,
    architecture: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evil_twins.bench.analysis.plots.draw", lambda *_, **__: [])
    path = result.to_suite(tmp_path, architecture)
    again = et.run(path, results=tmp_path, jobs=1)
    assert again.failures.empty
    expected, actual = scores(result), scores(again)
    if architecture:  # the same modules: the same bits
        pd.testing.assert_frame_equal(actual, expected)
    else:
        pd.testing.assert_frame_equal(actual, expected, rtol=1e-3, atol=1e-4)


def test_several_networks_are_several_victims() -> None:
    networks = {"first": trained(), "second": trained(1)}
    result = evaluate(networks, attacks=["pgd"], detectors=["confidence"])
    assert set(result.rates["victim"]) == {"first", "second"}
    assert result.targets.groupby("victim").size().to_dict() == {"first": 4, "second": 4}
    single = evaluate(networks["second"], attacks=["pgd"], detectors=["confidence"])
    second = result.targets.query("victim == 'second'")
    assert list(second["linf"]) == list(single.targets["linf"])
    with pytest.raises(et.UserError, match="the results are those of 2 networks"):
        result.to_suite("never")


def test_results_without_a_folder_are_removed() -> None:
    result = evaluate(attacks=["untouched"], detectors=["confidence"])
    folder = result.directory
    assert folder.is_dir()
    del result
    gc.collect()
    assert not folder.exists()


def test_a_folder_keeps_finished_cells_of_the_same_network(tmp_path: Path) -> None:
    def cells() -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in tmp_path.rglob("cell.json")}

    options: dict[str, Any] = {"attacks": ["pgd"], "detectors": ["confidence"]}
    evaluate(results=tmp_path, **options)
    before = cells()
    evaluate(results=tmp_path, **options)
    assert cells() == before
    evaluate(trained(1), results=tmp_path, **options)
    assert before.items() < cells().items()


class Halved(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = trained(), factor

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.inner(x) * self.factor
        return z


def test_constants_of_a_network_are_part_of_its_identity(tmp_path: Path) -> None:
    options: dict[str, Any] = {"attacks": ["untouched"], "detectors": ["confidence"]}
    first, second = (
        evaluate(Halved(factor), results=tmp_path, **options).scores["score"]
        for factor in (1.0, 0.5)
    )
    assert first.max() < second.max()  # half as large logits are less confident


@dataclass(frozen=True)
class Weighted:
    """A detector that holds a tensor, which no file could bring back."""

    weight: Any
    knowledge = "K0"
    preparation = None

    def fit(self, view: Any) -> Any:
        return lambda x: view.model(x) @ self.weight


def test_detectors_in_memory_and_in_files() -> None:
    def local(model: nn.Module, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)

    class Summed:
        def __init__(self, k: int = 3) -> None:
            self.k = k

        def fit(self, view: Any) -> Any:
            return lambda x: x.flatten(1).sum(1) + self.k

    detectors = [Weighted(torch.ones(10)), Weighted(torch.zeros(10)), local, Summed, doubt]
    result = evaluate(attacks=["untouched"], detectors=detectors)
    assert result.failures.empty
    columns = result.scores.groupby("detector")["score"].sum()
    assert set(columns.index) == {"Weighted", "Weighted 2", "local", "Summed", "doubt"}
    assert columns["Weighted 2"] == 0
    assert columns["Weighted"] != 0
    assert columns["Summed"] == pytest.approx(columns["local"] + 3 * len(result.scores) / 5)
    with pytest.raises(et.UserError, match=r"'Weighted' is only in memory"):
        result.to_suite("never")


def test_arrays_are_cut_in_halves_or_given_as_such() -> None:
    (x, y), (clean_x, clean_y) = data(), (a[897:] for a in small_networks.digits())
    named = [str(name) for name in "abcdefghij"]
    options: dict[str, Any] = {"attacks": ["untouched"], "detectors": ["confidence"]}
    half = evaluate(data=(torch.from_numpy(x), torch.from_numpy(y)), **options)
    integers = (x * 255).round().astype(np.uint8)
    whole = evaluate(data=(integers, y), clean=(clean_x, clean_y), classes=named, **options)
    counts = []
    for result in (half, whole):
        with np.load(result.directory.parent / "data.npz") as stored:
            counts.append([len(stored["x_train"]), len(stored["x_test"])])
    assert counts == [[449, 448], [900, 897]]


def test_a_network_may_have_more_outputs_than_the_data_has_classes(tmp_path: Path) -> None:
    x, y = data()
    few, names = y < 4, [str(i) for i in range(10)][::-1]
    model = nn.Sequential(*trained())
    model[4] = turned(model[4])
    options: dict[str, Any] = {"attacks": ["pgd"], "detectors": ["confidence"], "outputs": names}
    result = evaluate(model, data=(x[few], y[few]), classes=["0", "1", "2", "3"], **options)
    assert set(result.targets["goal"]) <= {0, 1, 2, 3}
    assert result.targets["at_kappa"].all()
    assert result.tables["victims"]["accuracy"].iloc[0] > 0.9
    assert "classes = [" in result.to_suite(tmp_path).read_text()


def turned(head: Any) -> nn.Linear:
    """Return a last layer with the outputs of another one in the opposite order."""
    layer = nn.Linear(head.in_features, head.out_features)
    with torch.no_grad():
        layer.weight.copy_(head.weight.flip(0))
        layer.bias.copy_(head.bias.flip(0))
    return layer


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no module": ({"model": 3}, "model 'int' is of type int"),
    "no weights": ({"model": nn.Flatten()}, "network 'Flatten' has no weights"),
    "classes": ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 7))}, "for 8 images and 10"),
    "pixels": (
        {"data": (data()[0] * 255, data()[1])},
        "the train images are float32 from 0 to 255",
    ),
    "labels": ({"data": (data()[0], data()[1][:-1])}, "and one label for each"),
    "few": ({"data": (data()[0][:200], data()[1][:200]), "targets": 40}, "targets are needed"),
    "attack": ({"attacks": ["pgdd"]}, r"unknown attack 'pgdd': did you mean 'pgd'\?"),
    "detector": ({"detectors": ["confidenze"]}, "did you mean 'confidence'"),
    "parameter": ({"attacks": ["pgd(kapa=1)"]}, "did you mean 'kappa'"),
    "no method": ({"attacks": [{"name": "a"}]}, "without `method`"),
    "object": ({"detectors": [3]}, "detector 'int' lacks knowledge, preparation, fit"),
    "none": ({"detectors": []}, "at least one attack and one detector"),
    "folder": ({"results": "r", "detectors": [Weighted(torch.ones(1))]}, "is only in memory"),
    "device": ({"device": "tpu"}, "device 'tpu' is unknown"),
    "name": ({"model": {"../up": trained()}}, "cannot be the name of a folder"),
    "data set": ({"data": "digit"}, r"did you mean 'digits'\?"),
    "halves": ({"data": "digits", "classes": ["a"]}, "has training images and classes"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_told_before_anything_runs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "evil_twins.bench.run.evaluation.run_cells", lambda *_, **__: pytest.fail("a cell ran")
    )
    arguments, message = BAD[case]
    with pytest.raises(et.UserError, match=message) as caught:
        evaluate(**arguments)
    assert len(caught.value.lines) <= 3


def test_results_of_a_suite_have_their_suite(tmp_path: Path) -> None:
    with pytest.raises(et.UserError, match="was not made by `evaluate`"):
        et.Result(tmp_path / "quick").to_suite(tmp_path)


def test_a_network_that_cannot_be_exported_needs_its_code(tmp_path: Path) -> None:
    class Branching(Halved):
        def forward(self, x: Tensor) -> Tensor:
            z = super().forward(x)
            return z if float(z.sum()) > 0 else z + 0

    result = evaluate(Branching(1.0), attacks=["untouched"], detectors=["confidence"])
    with pytest.raises(et.UserError, match="cannot be exported"):
        result.to_suite(tmp_path)
