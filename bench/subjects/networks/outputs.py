"""Put the outputs of a network into the order of the classes of the data."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.networks.linear import without_parameters


def outputs_of(outputs: Sequence[str], classes: Sequence[str]) -> Tensor | None:
    """Return the output of each class of the data (K,); None if these are the outputs.

    Raises:
        UserError: A class has no output.
    """
    if not outputs or tuple(outputs) == tuple(classes):
        return None
    places = {name: i for i, name in enumerate(outputs)}
    if missing := [name for name in classes if name not in places]:
        near = get_close_matches(missing[0], places, n=1)
        raise UserError(
            f"`classes` of [victim] lacks {missing[0]!r}, a class of the data",
            "expected: the names of all outputs in their order"
            + (f"; did you mean {near[0]!r}?" if near else ""),
        )
    return torch.tensor([places[name] for name in classes])


def choose(head: nn.Linear, rows: Tensor) -> nn.Linear:
    """Return a last layer with these outputs of another one."""
    if not [*head.parameters()]:
        return without_parameters(head.weight[rows].clone(), head.bias[rows].clone())
    chosen = nn.Linear(head.in_features, len(rows))
    chosen.weight = nn.Parameter(head.weight[rows].clone())
    chosen.bias = nn.Parameter(head.bias[rows].clone())
    return chosen
