"""Files of weights of others: nested, prefixed, damaged, or with code."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from evil_twins.bench.errors import Fault, UserError
from evil_twins.bench.subjects.networks import states


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 4))


STATE = network().state_dict()
"""Weights by name, with a whole number of batch-norm."""


def _prefixed(front: str) -> dict[str, Tensor]:
    return {front + name: value for name, value in STATE.items()}


FORMS = {
    "bare": STATE,
    "nested": {"epoch": 3, "state_dict": STATE, "best": 0.5},
    "twice nested": {"model": {"state_dict": STATE}},
    "parallel": {"net": _prefixed("module.")},
    "compiled": _prefixed("_orig_mod.module."),
    "half": {n: v.half() if v.is_floating_point() else v for n, v in STATE.items()},
    "without counts": {n: v for n, v in STATE.items() if "num_batches" not in n},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th"])
def test_weights_are_read_and_fitted(tmp_path: Path, form: str, suffix: str) -> None:
    torch.save(FORMS[form], tmp_path / f"w{suffix}")
    model = network()
    for value in model.parameters():
        nn.init.zeros_(value)
    states.fit(model, states.read(tmp_path / f"w{suffix}"), "w")
    tolerance = 1e-3 if form == "half" else 0.0
    for name, value in model.state_dict().items():
        assert value.dtype == STATE[name].dtype
        assert torch.allclose(value.double(), STATE[name].double(), atol=tolerance, rtol=0)
    assert states.outputs(states.read(tmp_path / f"w{suffix}")) == 4


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(_prefixed("model."), tmp_path / "w.safetensors")
    states.fit(network(), states.read(tmp_path / "w.safetensors"), "w")


def _infinite() -> dict[str, Tensor]:
    return STATE | {"3.bias": torch.full((4,), float("inf"))}


UNFIT = {
    "missing": ({n: v for n, v in STATE.items() if n != "3.bias"}, "lacks 3.bias"),
    "more": (STATE | {"5.weight": torch.ones(2)}, "5.weight, which is no part"),
    "shape": (STATE | {"3.weight": torch.ones(3, 72)}, "(3, 72); the network has (4, 72)"),
    "infinite": (_infinite(), "NaN or infinite values in 3.bias"),
    "quantised": (STATE | {"3.bias": torch.ones(4, dtype=torch.int8)}, "3.bias in torch.int8"),
    "another network": ({"layer.weight": torch.ones(2, 2)}, "shares no name"),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_weights_that_do_not_fit_are_refused(kind: str) -> None:
    stored, message = UNFIT[kind]
    with pytest.raises(Fault) as fault:
        states.fit(network(), stored, "w")
    assert message in str(fault.value)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil",)


def _cut(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:500])


BAD: Mapping[str, Callable[[Path], object]] = {
    "code": lambda path: torch.save({"state_dict": Evil()}, path),
    "a network": lambda path: torch.save(network(), path),
    "nothing": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("weights"),
    "half a file": lambda path: (
        torch.save(STATE, path),
        path.write_bytes(path.read_bytes()[:500]),
    ),
    "a number": lambda path: torch.save(3, path),
    "no weights": lambda path: torch.save({"epoch": 3}, path),
    "a pipe": os.mkfifo,
    "missing": lambda path: None,
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_without_weights_is_refused_and_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    BAD[kind](tmp_path / "w.pt")
    with pytest.raises(UserError) as error:
        states.read(tmp_path / "w.pt")
    assert 2 <= len(str(error.value).splitlines()) <= 3
    assert "w.pt" in str(error.value)
    assert not Path("evil").exists()


def test_the_reason_is_told(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"hello")
    with pytest.raises(UserError, match=r"no file of torch.save, or damaged"):
        states.read(path)
    torch.save({"ema": STATE, "epoch": 3}, path)
    with pytest.raises(UserError, match=r"no weights by name, but ema, epoch"):
        states.read(path)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.h5").write_bytes(b"")
    with pytest.raises(UserError, match=r"ending '.h5' is not known"):
        states.read(tmp_path / "w.h5")
