"""Check the poisoned models of an attack or of a file: names, shapes, finite weights."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from evil_twins.attacks.models import PairedModels, Victim
from evil_twins.bench.components.finite import weights


def faced_models(
    parameters: Mapping[str, Tensor], victim: Victim, count: int, whose: str
) -> PairedModels:
    """Return `count` models over a victim, from an attack or from a file, if they are valid.

    Raises:
        Fault: As `finite.weights` raises it; the message names the attack or the file by `whose`.
    """
    expected = cast(nn.Module, victim).named_parameters()
    shapes = {name: (count, *value.shape) for name, value in expected}
    return PairedModels(victim, count, weights(parameters, shapes, whose))
