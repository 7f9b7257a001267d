"""The attack cell of an attacker who knows detectors: its view holds their penalties.

This module is separate so that other attacks do not depend on the code of detectors.
"""

from collections.abc import Iterator

import torch

from evil_twins.bench.cells import attack, seeds
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.cells.stored import Tensors
from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import Fault
from evil_twins.bench.store.checksums import PREPARED
from evil_twins.detectors.base import DefenderView, Penalty


def run(work: Work) -> None:
    """Attack with the penalties of the detectors to evade; store the parts of every attack."""
    sides = (side for j in range(len(work.evade)) for side in attackers(work, j))
    attack.run(work, tuple(_penalty(*side) for side in sides))


def attackers(work: Work, j: int) -> Iterator[tuple[Defender, DefenderView]]:
    """Yield the j-th detector as the attacker has it, with its view: once, or for each preparation.

    The view holds the victim and the attacker's training images. These are shuffled, because a
    detector may take the first ones, and those of a folder are all of one class.
    """
    data, detector = work.dataset, work.evade[j]
    order = torch.randperm(len(data.train), generator=seeds.generator(data.name, "attacker", j))
    benign = data.train.take(order).x.to(work.device)
    fits = [role for role in sorted(work.parents) if role.startswith(f"fit {j} ")]
    for role in fits or [""]:
        prepared = Tensors(work.parents[role] / PREPARED, work.device) if role else {}
        defender = Defender(
            detector.build(), f"detector {detector.spec['class']!r}", benign, prepared
        )
        generator = seeds.generator(data.name, "attacker", "penalty", j)
        yield defender, defender.view(work.victim, generator)


def _penalty(defender: Defender, view: DefenderView) -> Penalty:
    """Return the penalty that a detector offers.

    Raises:
        Fault: It is no function.
    """
    penalty: Penalty = defender.detector.penalty(view)
    if not callable(penalty):
        raise Fault(
            f"the penalty of {defender.name} is {type(penalty).__name__}; "
            "expected a function of logits, images and generators"
        )
    return penalty
