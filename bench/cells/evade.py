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
from evil_twins.detectors.base import Penalty


def run(work: Work) -> None:
    """Attack with the penalties of the detectors to evade; store the parts of every attack."""
    attack.run(work, tuple(p for j in range(len(work.evade)) for p in _penalties(work, j)))


def _penalties(work: Work, j: int) -> Iterator[Penalty]:
    """Yield the penalties of the j-th detector: one for each preparation by the attacker, or one.

    They come from the victim and the attacker's training images. These are shuffled, because a
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
        view = defender.view(work.victim, seeds.generator(data.name, "attacker", "penalty", j))
        penalty: Penalty = defender.detector.penalty(view)
        if not callable(penalty):
            raise Fault(
                f"the penalty of {defender.name} is {type(penalty).__name__}; "
                "expected a function of logits, images and generators"
            )
        yield penalty
