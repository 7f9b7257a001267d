"""Read the poisoned models of attack cells."""

from pathlib import Path

import torch

from evil_twins.attacks.models import PairedModels, Victim
from evil_twins.bench.cells.stored import Tensors
from evil_twins.bench.components import faced
from evil_twins.bench.errors import Damaged, Fault
from evil_twins.bench.store.checksums import MODELS
from evil_twins.bench.store.soundness import lists_models


def faced_models(attack: Path, victim: Victim, count: int, device: torch.device) -> PairedModels:
    """Load the models that the `count` targets of a finished attack cell face.

    Raises:
        Damaged: They do not fit the victim, or some weights are not finite.
    """
    edits = Tensors(attack / MODELS, device) if lists_models(attack) else {}
    try:
        return faced.faced_models(edits, victim, count, "a model")
    except Fault as error:
        raise Damaged(attack / MODELS, error) from error
