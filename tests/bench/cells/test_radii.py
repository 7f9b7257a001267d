"""The radii of another cell, whose file may be of another form."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.bench.cells.attack import radii
from evil_twins.bench.cells.stored import save_tensors
from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import Damaged
from evil_twins.bench.store.checksums import ATTACKED


def _work(folder: Path, x: Tensor, origin: Tensor) -> Work:
    save_tensors({"x": x, "origin": origin}, folder / ATTACKED)
    return Work({"device": "cpu"}, "imc", None, {"radii": folder}, folder, None)


def test_the_first_targets_have_the_distances_of_the_other_attack(tmp_path: Path) -> None:
    origin = torch.zeros(3, 1, 2, 2)
    x = origin + torch.tensor([0.25, 0.5, 0.75]).view(3, 1, 1, 1)
    distances = radii(_work(tmp_path, x, origin), PGD(InputStep(), 0.75), 2)
    assert distances is not None
    assert distances.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (3, 1, 2, 1), (3, 1, 1, 1)])
def test_images_of_another_shape_are_damage(tmp_path: Path, shape: tuple[int, ...]) -> None:
    work = _work(tmp_path, torch.zeros(3, 1, 2, 2), torch.zeros(shape))
    with pytest.raises(Damaged, match="it holds x and origin of"):
        radii(work, PGD(InputStep(), 0.75), 2)


def test_too_few_images_are_damage(tmp_path: Path) -> None:
    work = _work(tmp_path, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
    with pytest.raises(Damaged, match="for 2 targets"):
        radii(work, PGD(InputStep(), 0.75), 2)
