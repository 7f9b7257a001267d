"""Tensors of cells: images whose pixels are not in [0, 1] are damage."""

from pathlib import Path

import pytest
import torch

from evil_twins.bench.cells.stored import Tensors, save_tensors
from evil_twins.bench.errors import Damaged


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.01, 1.01])
@pytest.mark.parametrize("name", ["x", "origin"])
def test_images_outside_the_unit_interval(tmp_path: Path, name: str, value: float) -> None:
    sound = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    bad = sound.clone()
    bad[0, 1] = value
    save_tensors({"x": sound, "origin": sound, name: bad}, tmp_path / "a.safetensors")
    tensors = Tensors(tmp_path / "a.safetensors", torch.device("cpu"))
    for other in {"x", "origin"} - {name}:
        assert torch.equal(tensors.images(other), sound)
    with pytest.raises(Damaged, match=rf"it holds {name} with values that are not in \[0, 1\]"):
        tensors.images(name)


def test_numbers_of_another_type_are_no_images(tmp_path: Path) -> None:
    save_tensors({"x": torch.ones(1, dtype=torch.complex64)}, tmp_path / "a.safetensors")
    with pytest.raises(Damaged):
        Tensors(tmp_path / "a.safetensors", torch.device("cpu")).images("x")
