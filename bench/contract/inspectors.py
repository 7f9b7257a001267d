"""The clauses that a detector of models must keep: those of a detector, but about no input."""

import copy

import torch
from torch import nn

from evil_twins.bench.contract.cases import DetectorCase
from evil_twins.bench.contract.clause import Broken, Doubtful, clause
from evil_twins.bench.contract.detectors import ROUNDING, changed_by, frozen, prepares
from evil_twins.bench.contract.state import stir


def _copy(case: DetectorCase, i: int = 0) -> nn.Module:
    return copy.deepcopy(case.world.models[i])


@clause("fix its exception; `inspect(view)` returns a float")
def runs(case: DetectorCase) -> None:
    """It gives a score of a model."""
    case.detector.inspect(case.view(_copy(case)))


@clause("return a Python float, such as `float(value)`", after=("runs", "prepares"))
def number(case: DetectorCase) -> None:
    """The score is a finite float, and models differ in it."""
    scores = [case.inspect(_copy(case, i)) for i in range(len(case.world.models))]
    if len(set(scores)) == 1:
        raise Doubtful(f"it gave {scores[0]:.6g} to each of {len(scores)} models")


@clause("draw only from view.generator", after=("number",))
def seeded(case: DetectorCase) -> None:
    """The same seed gives the same score."""
    scores = []
    for seed in (1, 2):
        stir(seed)
        scores.append(case.inspect(_copy(case)))
    if scores[0] != scores[1]:
        raise Broken(f"with one seed it gave {scores[0]:.6g} and {scores[1]:.6g} for one model")


@clause("keep nothing by the identity of a model", after=("number",))
def anew(case: DetectorCase) -> None:
    """A score depends on the weights that it is given, on no earlier ones."""
    module, second = _copy(case), case.world.models[1]
    case.inspect(module)
    with torch.no_grad():
        module.load_state_dict(second.state_dict())
    again, direct = case.inspect(module), case.inspect(_copy(case, 1))
    if abs(again - direct) > ROUNDING * abs(direct):
        raise Broken(f"after other weights it gave {again:.6g}, and {direct:.6g} without")


@clause(
    "work on copies (`.clone()`, copy.deepcopy) and set back what you set; remove your hooks",
    after=("runs", "prepares"),
)
def untouched(case: DetectorCase) -> None:
    """Model, clean data and the state of the process stay as they are."""
    if changed := changed_by(case, case.detector.inspect, {}):
        raise Broken(f"it changed {', '.join(changed[:3])}")


@clause('set `knowledge` to "K1" if it reads view.benign or has a preparation', after=("number",))
def knowledge(case: DetectorCase) -> None:
    """It uses the knowledge that it states: as K0 the faced model and the size of its images."""
    if case.detector.knowledge != "K0":
        return
    if case.detector.preparation is not None:
        raise Broken("it states K0, and has a preparation, which is trained on clean data")
    other = case.inspect(_copy(case), case.defender_on(case.world.other, {}))
    if other != case.inspect(_copy(case)):
        raise Broken("it states K0, and its score changes with other clean data")


INSPECTOR = (runs, frozen, prepares, number, seeded, anew, untouched, knowledge)
