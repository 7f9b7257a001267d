"""Detectors of pytorch-ood by name, fitted on the faced model."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evil_twins.bench.commands import app
from evil_twins.bench.components import registry
from evil_twins.bench.components.adapters import OUTLIERS, ood
from evil_twins.bench.components.adapters.unusable import UNUSABLE
from evil_twins.bench.errors import UserError
from evil_twins.bench.store import records
from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.confidence import Confidence
from evil_twins.detectors.neighbours import Neighbours
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.contract.guests import keeps_the_contract, world
from tests.detectors.networks import Headed, rng, small_network

package = pytest.importorskip("pytorch_ood.detector")
api = importlib.import_module("pytorch_ood.api")
PARAMETERS: dict[str, dict[str, Any]] = {"KNN": {"k": 3}}


def outliers(name: str, **values: Any) -> Any:
    component = registry.find("detector", f"ood:{name}", Path())
    return registry.configure(
        component, PARAMETERS.get(name, {}) | values, "detector", name
    ).build()


def view(model: nn.Module) -> DefenderView:
    return DefenderView(model, world().benign, rng(5))


def test_every_detector_of_the_package_is_named() -> None:
    classes = {n for n in package.__all__ if isinstance(getattr(package, n), type)}
    detectors = {n for n in classes if issubclass(getattr(package, n), api.Detector)}
    assert detectors - set(UNUSABLE["ood", "detector"]) == set(OUTLIERS)


@pytest.mark.parametrize("name", OUTLIERS)
def test_every_usable_one_keeps_the_contract(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    keeps_the_contract(outliers(name))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("MaxSoftmax", Confidence()),
        ("EnergyBased", Confidence("energy")),
        ("KNN", Neighbours("distance", k=3)),
    ],
)
def test_one_that_is_here_as_well_ranks_the_same(name: str, ours: Any) -> None:
    model, x = world().models[0], world().fresh
    peer, score = (detector.fit(view(model))(x) for detector in (outliers(name), ours))
    assert torch.equal(peer.argsort(), score.argsort())


def test_distances_are_those_of_numpy_in_float64() -> None:
    model, x = world().models[0], world().fresh
    with torch.no_grad():
        benign, label = model.features(world().benign).double(), model(world().benign).argmax(1)
        z = model.features(x).double()
    means = torch.stack([benign[label == k].mean(0) for k in label.unique()])
    centred = benign - means[torch.unique(label, return_inverse=True)[1]]
    inverse = (centred.T @ centred + 1e-6 * torch.eye(z.shape[1]).double()).inverse()
    away = z.unsqueeze(1) - means
    named = torch.einsum("nkd,de,nke->nk", away, inverse, away).amin(1) / 2
    assert torch.allclose(outliers("Mahalanobis").fit(view(model))(x), named, rtol=1e-6)
    assert torch.get_default_dtype() == torch.float32


def test_a_class_that_no_benign_image_has_is_left_out() -> None:
    model, benign = world().models[0], world().benign
    classes = model(benign).argmax(1).unique()
    scorer: Any = outliers("SHE").fit(view(model))
    assert len(classes) < model.head.out_features
    assert len(scorer.inner.patterns) == len(classes) == len(scorer.inner.head.weight)


def test_what_reads_features_needs_a_model_that_shows_them() -> None:
    with pytest.raises(TypeError, match="features"):
        outliers("Mahalanobis").fit(view(small_network(nn.ReLU, side=6)))
    bare = Headed(small_network(nn.ReLU, side=6))
    bare.head = nn.Sequential(bare.head)
    with pytest.raises(TypeError, match=r"nn\.Linear"):
        outliers("DICE").fit(view(bare))


def test_its_parameters_are_those_of_the_package() -> None:
    assert (outliers("KNN", k=7).k, outliers("KNN").benign) == (7, 1000)
    assert (outliers("ODIN").temperature, outliers("ODIN").knowledge) == (1000.0, "K0")
    assert (outliers("DICE").p, outliers("DICE").knowledge) == (0.9, "K1")
    with pytest.raises(UserError, match="percentiles"):
        outliers("ReAct", percentiles=0.8)


def test_one_that_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="ood:Gram cannot be used: it reads several layers"):
        registry.find("detector", "ood:Gram", Path())
    with pytest.raises(UserError, match="unknown ood: name 'Nothing'"):
        registry.find("detector", "ood:Nothing", Path())
    monkeypatch.setitem(sys.modules, "pytorch_ood.detector", None)
    ood.__getattr__.cache_clear()
    with pytest.raises(UserError, match=r"'ood:RMD': ModuleNotFoundError: .* pytorch_ood") as error:
        registry.find("detector", "ood:RMD", Path())
    assert "remedy: pip install 'pytorch-ood>=0.4'" in str(error.value)


def test_a_column_by_name_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = (
        suites.table("detectors", method="ood:RMD"),
        suites.table("detectors", method="ood:ReAct"),
    )
    done = carry_out(tmp_path, suites.shift(), *columns)
    assert not done.state.failed
    scores = records.read(tmp_path / "small" / "scores.parquet", records.FILES["scores"])
    assert set(scores["detector"]) == {"ood:RMD", "ood:ReAct"}
    app.main(["list"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "cannot be used" not in shown
    assert "ood:SHE of pytorch-ood" in shown
