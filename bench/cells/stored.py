"""Read and write the tensors and victims of cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from evil_twins.bench.errors import Damaged, UserError
from evil_twins.bench.store import files
from evil_twins.bench.store.checksums import VICTIM
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import Classifier

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network


@dataclass(frozen=True)
class VictimPlace:
    """The folder of a finished victim cell, the device for the victim, and its code.

    The code is None if the network is of this project.
    """

    folder: Path
    device: torch.device
    network: Network | None = None


class Tensors(dict[str, Tensor]):
    """The tensors of a file in the folder of a verified cell.

    Raises:
        Damaged: By a look-up: the file lacks the tensor.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        """Load the tensors onto a device.

        Raises:
            Damaged: The file is no file of tensors.
        """
        self.path = path
        try:
            with files.opened(path, path.parent) as file:
                super().__init__(load_file(files.path_of(file), device=str(device)))
        except (OSError, SafetensorError, LookupError, ValueError) as error:
            raise Damaged(path, error) from error

    def __missing__(self, name: str) -> Tensor:
        raise Damaged(self.path, f"it lacks {name}")

    def images(self, name: str) -> Tensor:
        """Return images, with pixels in [0, 1].

        Raises:
            Damaged: The file lacks them, or a pixel is NaN or outside [0, 1].
        """
        x = self[name]
        if not x.is_floating_point() or not bool(((x.double() >= 0) & (x.double() <= 1)).all()):
            raise Damaged(self.path, f"it holds {name} with values that are not in [0, 1]")
        return x


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Store copies of tensors, on the CPU and without their graph."""
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with files.creating(path, path.parent) as draft:
        save_file(copies, draft)


@lru_cache(maxsize=2)
def cached_victim(victim: VictimPlace) -> Classifier:
    """Load the victim of a finished victim cell.

    Raises:
        Damaged: The file is no stored classifier.
    """
    path = victim.folder / VICTIM
    try:
        return weights.load(path, victim.folder, victim.network).to(victim.device)
    except UserError as error:
        raise Damaged(path, str(error).removeprefix(f"{path}: ")) from error
