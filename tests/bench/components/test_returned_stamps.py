"""Triggers that an attack returns are checked before anything is measured."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.trigger_loop import stamped
from evil_twins.bench.components import returned
from evil_twins.bench.errors import Fault
from tests.attacks.test_triggers import view

Change = Callable[[Stamp], Any]


def attacked() -> tuple[Attacked, AttackerView]:
    """Return the result of a faint trigger on the victim, with its view."""
    world = view()
    pattern = 0.1 * torch.ones(2, 1, 6, 6, dtype=torch.float64)
    none = torch.zeros(2, dtype=torch.int64)
    models = replace(world.unchanged_models(), count=2)
    return stamped(world, 2, Stamp.additive(pattern), models, none, none), world


def test_a_sound_trigger_passes() -> None:
    result, world = attacked()
    assert returned.attacked(result, world, "it").stamp is result.stamp


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda stamp: "a patch", "returned str; expected a Stamp of 2"),
        (lambda stamp: stamp.rows(torch.tensor([0])), "returned 1 triggers; expected a Stamp of 2"),
        (lambda stamp: replace(stamp, mask=stamp.mask - 1), "a mask outside"),
        (lambda stamp: replace(stamp, mask=stamp.mask[:1]), "a mask of 1×1×6×6; expected 2×1×6×6"),
        (lambda stamp: replace(stamp, mask=None), "no tensor of floating-point numbers as mask"),
        (lambda stamp: replace(stamp, mask=stamp.mask.bool()), "floating-point numbers as mask"),
        (lambda stamp: replace(stamp, pattern=stamp.pattern * torch.nan), "NaN or infinity in the"),
        (lambda stamp: replace(stamp, pattern=2 * stamp.pattern), "not the targets with its"),
    ],
)
def test_another_is_a_fault(change: Change, words: str) -> None:
    result, world = attacked()
    assert result.stamp is not None
    with pytest.raises(Fault, match=words):
        returned.attacked(replace(result, stamp=change(result.stamp)), world, "it")
