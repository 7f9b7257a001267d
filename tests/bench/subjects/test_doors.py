"""Every door for models refuses a network that is not sound."""

import ast
import json
import re
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.cells.faced import faced_models
from evil_twins.bench.cells.stored import VictimPlace, cached_victim
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.components import faced
from evil_twins.bench.errors import Damaged, Fault, UserError
from evil_twins.bench.run.schedule import run
from evil_twins.bench.run.score import score
from evil_twins.bench.run.score_request import Request
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import MODELS, VICTIM
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.victims import accuracy
from tests.bench.runs import carry_out, inline, planned
from tests.bench.subjects.random_networks import random_images
from tests.bench.subjects.test_weights import FETCHED, other
from tests.bench.suites import doubt, shift

ROOT = Path(__file__).parents[3]
State = dict[str, torch.Tensor]


def _spoilt(index: int, value: float) -> Callable[[State], State]:
    def change(state: State) -> State:
        state["head.weight"].view(-1)[index] = value
        return state

    return change


BROKEN: dict[str, tuple[Callable[[State], State], str]] = {
    "NaN": (_spoilt(0, torch.nan), "NaN or infinite values in head.weight"),
    "infinite": (_spoilt(-1, -torch.inf), "NaN or infinite values in head.weight"),
    "too large for float32": (
        lambda s: {name: v.double() * 1e39 for name, v in s.items()},
        "NaN or infinite values in",
    ),
    "no deviation": (
        lambda s: s | {"std": torch.zeros_like(s["std"])},
        "NaN or infinite logits",
    ),
    "whole numbers": (lambda s: s | {"head.bias": s["head.bias"].int()}, "int32 in head.bias"),
    "a part": (lambda s: {"head.weight": s["head.weight"]}, "the model lacks mean"),
}


def _store(path: Path, change: Callable[[State], State], described: bool = True) -> Path:
    """Store a network of digits with other weights."""
    model = other()
    weights.save(model, path)
    facts = {"architecture": model.architecture, "classes": 10, "shape": model.shape}
    metadata = {"classifier": json.dumps(facts)} if described else None
    save_file(change(load_file(path)), path, metadata)
    return path


def _suite(folder: Path, path: Path) -> None:
    """Plan a suite with these weights."""
    path.replace(folder / "victim.safetensors")
    planned(folder, shift(), doubt(), head=FETCHED)


def _cell(folder: Path, path: Path) -> None:
    """Read the victim of a stranger's cell, and compute its accuracy."""
    path.replace(folder / VICTIM)
    victim = cached_victim(VictimPlace(folder, torch.device("cpu")))
    accuracy(victim, cached_dataset("digits", None, None).fit)


def _score(folder: Path, path: Path, option: str) -> None:
    """Score images with these weights as victim or as faced model."""
    models = {name: _store(folder / f"{name}.st", dict) for name in ("victim", "faced")}
    for name, count in (("x", 2), ("benign", 60)):
        np.save(folder / f"{name}.npy", np.random.default_rng(0).random((count, 1, 8, 8)))
    models |= {option: path}
    images = folder / "x.npy", folder / "benign.npy"
    request = Request(*models.values(), *images, None, None, "quick", 0.1)
    try:
        score(request, folder / "scores.csv", "cpu")
    finally:
        assert not (folder / "scores.csv").exists()


DOORS: dict[str, Callable[[Path, Path], None]] = {
    "suite": _suite,
    "cell": _cell,
    "score --victim": partial(_score, option="victim"),
    "score --faced": partial(_score, option="faced"),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("fault", BROKEN)
def test_no_door_takes_a_broken_model(tmp_path: Path, door: str, fault: str) -> None:
    change, message = BROKEN[fault]
    path = _store(tmp_path / "model.safetensors", change)
    with pytest.raises((UserError, Fault)) as error:
        DOORS[door](tmp_path, path)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 3
    if door != "cell":
        assert isinstance(error.value, UserError)
        assert ".st" in str(error.value) or ".safetensors" in str(error.value)


@pytest.mark.parametrize("door", DOORS)
def test_weights_without_a_description_are_told(tmp_path: Path, door: str) -> None:
    path = _store(tmp_path / "model.safetensors", dict, described=False)
    with pytest.raises(UserError, match="no description of their network"):
        DOORS[door](tmp_path, path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_computed_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    path = _store(tmp_path / "model.safetensors", lambda s: {n: v.to(dtype) for n, v in s.items()})
    model, x = weights.load(path, None), random_images((1, 8, 8))
    exact = other()
    exact.load_state_dict({name: v.to(dtype).float() for name, v in exact.state_dict().items()})
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert torch.equal(model(x), exact(x))


def test_a_suite_runs_on_a_victim_in_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "victim.safetensors"
    _store(path, lambda s: {name: value.bfloat16() for name, value in s.items()})
    cells = planned(tmp_path, shift(poison=True), doubt(), head=FETCHED.replace("= 4", "= 1"))
    assert not run(cells, Place(Store(tmp_path / "cells"), None, {}), inline()).failed


VALUES = {
    "NaN": (lambda v: v.fill_(torch.nan), "NaN or infinite values in head.bias"),
    "infinite": (lambda v: v.fill_(torch.inf), "NaN or infinite values in head.bias"),
    "another shape": (lambda v: v[:, :3], "of shape"),
}
"""Changes of the parameter `head.bias` (N, 10) of N faced models."""


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cell of an attack on models."""
    done = carry_out(tmp_path_factory.mktemp("run"), shift(poison=True), doubt())
    key = next(key for key, cell in done.plan.cells.items() if cell.kind == "attack")
    return done.store.path("attack", done.state.identity[key])


@pytest.mark.parametrize("fault", VALUES)
def test_faced_models_of_an_attack_and_of_a_file(tmp_path: Path, attack: Path, fault: str) -> None:
    change, message = VALUES[fault]
    victim = other()
    bias = change(victim.head.bias.detach().repeat(2, 1))
    with pytest.raises(Fault, match=message):
        faced.faced_models({"head.bias": bias}, victim, 2, "it")
    folder = tmp_path / "attack"
    shutil.copytree(attack, folder)
    stored = load_file(folder / MODELS)
    save_file({name: change(value).contiguous() for name, value in stored.items()}, folder / MODELS)
    with pytest.raises(Damaged, match=message):
        faced_models(folder, victim, 4, torch.device("cpu"))


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def _users(*names: str) -> set[str]:
    """Return the files of the benchmark whose code uses one of these names."""
    return {
        path.relative_to(ROOT / "bench").as_posix()
        for path in ROOT.glob("bench/**/*.py")
        if {"contract", "adapters"}.isdisjoint(path.parts)
        for node in _nodes(path)
        if (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
    }


def test_every_reader_of_weights_is_a_door() -> None:
    """Victims are read by `weights.load`, faced models by `faced_models`, nothing by another way.

    `Tensors` also reads attacked inputs and preparations, which are no models.
    """
    readers = _users("load_file", "safe_open", "load_state_dict", "torch_load")
    assert readers == {
        *("subjects/weights.py", "subjects/inputs.py", "cells/stored.py"),
        "store/soundness.py",  # names only
        "subjects/networks/states.py",  # files of others, whose weights a network must fit
        "subjects/networks/of_file.py",  # layers of a program, filled with its weights
    }
    assert _users("PairedModels") == {
        *("components/faced.py", "components/returned.py", "cells/faced.py"),
        *("cells/measure.py", "cells/score.py"),
        *("cells/substitute.py", "zoo/zoo.py", "zoo/writing.py"),  # a victim without changes
        "cells/durability.py",  # faced models after a treatment
        "zoo/specimen.py",  # those of `faced_models`
    }
    built = re.compile(r"(?<!-> )PairedModels\(|Tensors\([^)]*MODELS")
    files = [ROOT / "bench" / name for name in _users("PairedModels", "Tensors")]
    builders = {f"{p.parent.name}/{p.name}": built.findall(p.read_text()) for p in files}
    assert {name: uses for name, uses in builders.items() if uses} == {
        "components/faced.py": ["PairedModels("],
        "cells/faced.py": ["Tensors(attack / MODELS"],
        "cells/substitute.py": ["PairedModels("],
        "cells/durability.py": ["PairedModels("],
        "zoo/writing.py": ["PairedModels("],
        "zoo/zoo.py": ["PairedModels("],
    }
