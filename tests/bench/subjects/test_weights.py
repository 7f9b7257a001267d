"""A victim from a file: copied unchanged, or refused before anything runs."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.merge import merge
from evil_twins.bench.run.schedule import run
from evil_twins.bench.run.state import State
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import Classifier, build, fold
from tests.bench import suites
from tests.bench.runs import carry_out, inline, planned
from tests.bench.subjects.random_networks import SHAPES, random_images, same, state, untrained
from tests.bench.suites import doubt, shift

FETCHED = suites.HEAD.replace("recipe = { epochs = 2 }", 'weights = "victim.safetensors"')


def other(name: str = "resnet-tiny", classes: int = 10, side: int = 8) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = (1, side, side)
        return fold(build(name, classes, shape, torch.zeros(1), torch.ones(1)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a suite with a trained victim and poisoned models; return its folder."""
    folder = tmp_path_factory.mktemp("trained")
    assert not carry_out(folder, shift(poison=True), doubt()).state.failed
    return folder


def stored(folder: Path) -> Path:
    (path,) = folder.glob("small/cells/victim/*/victim.safetensors")
    return path


def fetched(folder: Path, head: str = FETCHED) -> State:
    """Run the suite with the weights in its folder."""
    cells = planned(folder, shift(poison=True), doubt(), head=head)
    return run(cells, Place(Store(folder / "small" / "cells"), None, {}), inline())


def test_two_machines_attack_the_same_victim(trained: Path, tmp_path: Path) -> None:
    shutil.copy(stored(trained), tmp_path / "victim.safetensors")
    state = fetched(tmp_path)
    assert not state.failed
    assert checksum(stored(tmp_path), None) == checksum(stored(trained), None)
    for kind in ("attack", "score"):
        trained_ids, fetched_ids = (
            {path.parent.name for path in folder.glob(f"small/cells/{kind}/*/cell.json")}
            for folder in (trained, tmp_path)
        )
        assert trained_ids == fetched_ids
    assert merge([trained, tmp_path], tmp_path / "merged") == {"small": 4}


def test_the_identity_is_the_content_and_not_the_place(trained: Path, tmp_path: Path) -> None:
    shutil.copy(stored(trained), tmp_path / "victim.safetensors")
    assert len(fetched(tmp_path).ran) == 3
    (tmp_path / "victim.safetensors").rename(tmp_path / "renamed.safetensors")
    assert not fetched(tmp_path, FETCHED.replace("victim.saf", "renamed.saf")).ran
    model = weights.load(tmp_path / "renamed.safetensors", None)
    model.head.bias.data += 1
    weights.save(model, tmp_path / "victim.safetensors")
    assert len(fetched(tmp_path).ran) == 3


def test_the_accuracy_is_that_of_the_weights(trained: Path, tmp_path: Path) -> None:
    shutil.copy(stored(trained), tmp_path / "victim.safetensors")
    fetched(tmp_path)
    actual, expected = (
        pd.read_parquet(next(folder.glob("small/cells/victim/*/victim.parquet")))
        for folder in (tmp_path, trained)
    )
    pd.testing.assert_frame_equal(actual, expected)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (other(classes=7), "resnet-tiny of 7 classes"),
        (other(side=12), r"for images \(1, 12, 12\)"),
        (other("resnet18-narrow", side=8), "resnet18-narrow of 10 classes"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, model: Classifier, message: str) -> None:
    weights.save(model, tmp_path / "victim.safetensors")
    with pytest.raises(UserError, match=message) as error:
        fetched(tmp_path)
    assert "expected: resnet-tiny of 10 classes for images (1, 8, 8)" in str(error.value)
    assert not (tmp_path / "small").exists()


def test_weights_that_are_missing_damaged_or_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "victim.safetensors"
    model = other()
    weights.save(model, path)
    whole = path.read_bytes()
    model.head.bias.data[0] = torch.nan
    weights.save(model, tmp_path / "nan.safetensors")
    for content in (
        None,
        b"",
        whole[:-10],
        b"no tensors",
        (tmp_path / "nan.safetensors").read_bytes(),
    ):
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=r"victim\.safetensors") as error:
            fetched(tmp_path)
        assert len(str(error.value).splitlines()) <= 3
    assert not (tmp_path / "small").exists()


def test_weights_that_change_after_the_plan_fail_their_cell(tmp_path: Path) -> None:
    path = tmp_path / "victim.safetensors"
    weights.save(other(), path)
    cells = planned(tmp_path, shift(), doubt(), head=FETCHED)
    path.write_bytes(b"something else")
    state = run(cells, Place(Store(tmp_path / "cells"), None, {}), inline())
    assert "has changed during the run; run again" in state.failed[cells.victims[0]]


LARGE = pytest.param("resnet101", marks=pytest.mark.slow)


@pytest.mark.parametrize("architecture", [LARGE, "resnet18-narrow", "resnet-tiny"])
def test_stored_bit_for_bit(architecture: str, tmp_path: Path) -> None:
    shape = SHAPES.get(architecture, (3, 16, 16))
    model = fold(untrained(architecture, shape))
    path, again = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    before = torch.get_rng_state()
    weights.save(model, path)
    loaded = weights.load(path, None)
    weights.save(loaded, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert path.read_bytes() == again.read_bytes()
    assert same(state(loaded), state(model))
    assert torch.equal(loaded(random_images(shape)), model(random_images(shape)))
    assert (loaded.architecture, loaded.shape, loaded.classes) == (architecture, shape, 7)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_files_that_are_no_classifier(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    weights.save(fold(untrained("resnet-tiny", (1, 8, 8))), good)
    facts = {"architecture": "resnet-tiny", "classes": 7, "shape": [1, 8]}
    spoilt = [
        lambda: None,
        lambda: bad.write_bytes(good.read_bytes()[:200]),
        lambda: bad.write_bytes(b"no tensors"),
        lambda: save_file({"a": torch.zeros(1)}, bad),
        lambda: save_file({"a": torch.zeros(1)}, bad, {"classifier": json.dumps(facts)}),
        lambda: save_file(
            {"a": torch.zeros(1)}, bad, {"classifier": json.dumps({**facts, "shape": [1, 8, 8]})}
        ),
        lambda: save_file(
            {"a": torch.zeros(1)},
            bad,
            {"classifier": json.dumps(facts | {"architecture": "alexnet", "shape": [1, 8, 8]})},
        ),
    ]
    for spoil in spoilt:
        spoil()
        with pytest.raises(UserError, match=r"bad\.safetensors") as error:
            weights.load(bad, None)
        assert len(str(error.value).splitlines()) <= 3
        assert "\nexpected: " in str(error.value)
        assert "\nremedy: " in str(error.value)
