"""The attack cell of an attacker who knows detectors: what stands in for them in its view.

A module of its own, so that other attacks do not stand on the code of detectors.
"""

from safetensors.torch import load_file

from bench import seeds
from bench.cells import attack
from bench.cells.check import Fault
from bench.cells.hold import Work
from detectors.base import DefenderView, Penalty


def run(work: Work) -> None:
    """Attack with the penalties of the detectors to evade; leaves what every attack leaves."""
    attack.run(work, tuple(_penalty(work, j) for j in range(len(work.evade))))


def _penalty(work: Work, j: int) -> Penalty:
    """The j-th penalty, from what the attacker holds: victim, reference, its own preparation."""
    data, detector, prepared = work.dataset, work.evade[j], {}
    if f"fit {j}" in work.parents:
        path = work.parents[f"fit {j}"] / "prepared.safetensors"
        prepared = load_file(path, device=str(work.device))
    draws = seeds.generator(data.name, "attacker", "penalty", j)
    view = DefenderView(work.victim, data.train.x.to(work.device), draws, prepared)
    penalty: Penalty = detector.build().penalty(view)
    if not callable(penalty):
        raise Fault(
            f"the penalty of detector {detector.name!r} is {type(penalty).__name__}; "
            "expected a function of logits, images and generators"
        )
    return penalty
