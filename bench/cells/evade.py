"""The attack cell of an attacker who knows detectors: what stands in for them in its view.

A module of its own, so that other attacks do not stand on the code of detectors.
"""

from collections.abc import Iterator

import torch
from safetensors.torch import load_file

from evil_twins.bench.cells import attack, seeds
from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import Fault
from evil_twins.detectors.base import DefenderView, Penalty


def run(work: Work) -> None:
    """Attack with the penalties of the detectors to evade; leaves what every attack leaves."""
    found = (one for j in range(len(work.evade)) for one in _penalties(work, j))
    attack.run(work, tuple(found))


def _penalties(work: Work, j: int) -> Iterator[Penalty]:
    """Those of the j-th detector: one for each preparation that the attacker made, or just one.

    They come from what the attacker holds: the victim, and the training images, of which a detector
    may take the first ones; in a folder those are all of one class.
    """
    data, detector = work.dataset, work.evade[j]
    order = torch.randperm(len(data.train), generator=seeds.generator(data.name, "attacker", j))
    benign = data.train.take(order).x.to(work.device)
    made = [role for role in sorted(work.parents) if role.startswith(f"fit {j} ")]
    for role in made or [""]:
        path = work.parents[role] / "prepared.safetensors" if role else None
        prepared = load_file(path, device=str(work.device)) if path else {}
        draws = seeds.generator(data.name, "attacker", "penalty", j)
        view = DefenderView(work.victim, benign, draws, prepared)
        penalty: Penalty = detector.build().penalty(view)
        if not callable(penalty):
            raise Fault(
                f"the penalty of detector {detector.spec['class']!r} is {type(penalty).__name__}; "
                "expected a function of logits, images and generators"
            )
        yield penalty
