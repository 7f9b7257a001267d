"""Read and write the tensors, victims and poisoned models of cells."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from evil_twins.attacks.models import PairedModels, Victim
from evil_twins.bench.components import finite
from evil_twins.bench.store import files
from evil_twins.bench.store.checksums import MODELS, lists_models
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import Classifier

VICTIM, ATTACKED, PREPARED = "victim.safetensors", "attacked.safetensors", "prepared.safetensors"


def load_tensors(path: Path, device: torch.device) -> dict[str, Tensor]:
    """Load the tensors of a file onto a device; the file lies in the folder of a verified cell."""
    with files.opened(path, path.parent) as file:
        return load_file(files.path_of(file), device=str(device))


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Store copies of tensors, on the CPU and without their graph."""
    copies = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with files.creating(path, path.parent) as draft:
        save_file(copies, draft)


@lru_cache(maxsize=2)
def cached_victim(folder: Path, device: torch.device) -> Classifier:
    """Load the victim of a finished victim cell."""
    return weights.load(folder / VICTIM, folder).to(device)


def faced_models(attack: Path, victim: Victim, count: int, device: torch.device) -> PairedModels:
    """Load the models that the `count` targets of a finished attack cell face.

    Raises:
        Fault: They do not fit the victim, or some weights are not finite.
    """
    edits = load_tensors(attack / MODELS, device) if lists_models(attack) else {}
    return finite.faced_models(edits, victim, count, str(attack / MODELS))
