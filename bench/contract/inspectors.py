"""The clauses that a detector of models must keep: those of a detector that speak of no input."""

import copy
from math import isfinite

import torch
from torch import nn

from evil_twins.bench.contract.clause import Broken, Clause, Doubtful
from evil_twins.bench.contract.detectors import NEAR, SOUND, DetectorCase
from evil_twins.bench.contract.state import Globals, differing, picture, stir


def runs(case: DetectorCase) -> None:
    """It gets through what a suite asks of it, whatever it returns."""
    case.detector.inspect(case.view(_copy(case), case.world.benign, case.prepared))


def _copy(case: DetectorCase, model: int = 0) -> nn.Module:
    return copy.deepcopy(case.world.models[model])


def _score(case: DetectorCase, model: nn.Module) -> float:
    """The score of this very model, checked."""
    score = case.detector.inspect(case.view(model, case.world.benign, case.prepared))
    if not isinstance(score, int | float) or not isfinite(score):
        said = f"{score}" if isinstance(score, float) else type(score).__name__
        raise Broken(f"it returned {said}; a finite float was expected")
    return float(score)


def number(case: DetectorCase) -> None:
    """One sound number a model, that tells models apart."""
    scores = [_score(case, _copy(case, i)) for i in range(len(case.world.models))]
    if len(set(scores)) == 1:
        raise Doubtful(f"it gave {scores[0]:.6g} to each of {len(scores)} models")


def seeded(case: DetectorCase) -> None:
    """Chance comes from the view's generator alone."""
    scores = []
    for seed in (1, 2):
        stir(seed)
        scores.append(_score(case, _copy(case)))
    if scores[0] != scores[1]:
        raise Broken(f"with one seed it gave {scores[0]:.6g} and {scores[1]:.6g} for one model")


def anew(case: DetectorCase) -> None:
    """Every call looks at the weights that the module holds then."""
    module, second = _copy(case), case.world.models[1]
    _score(case, module)
    with torch.no_grad():
        module.load_state_dict(second.state_dict())
    again, direct = _score(case, module), _score(case, _copy(case, 1))
    if abs(again - direct) > NEAR * abs(direct):
        raise Broken(f"after other weights it gave {again:.6g}, and {direct:.6g} without")


def untouched(case: DetectorCase) -> None:
    """Inspecting leaves everything outside as it was."""
    model = _copy(case, 1)
    view = case.view(model, case.world.benign, case.prepared)
    given = {"the clean data": view.benign}
    given |= {f"the prepared {name}": value for name, value in view.prepared.items()}
    shown, before, twin = picture(model, given), Globals.now(), copy.deepcopy(case.detector)
    case.detector.inspect(view)
    changed = differing(shown, picture(model, given)) + before.changed()
    if case.detector != twin:
        changed.append("its own parameters")
    if changed:
        raise Broken(f"it changed {', '.join(changed[:3])}")


def knowledge(case: DetectorCase) -> None:
    """As K0 it uses no clean data, but for the size of the images."""
    own, world = case.detector, case.world
    if own.knowledge != "K0":
        return
    if own.preparation is not None:
        raise Broken("it states K0, and has a preparation, which is trained on clean data")
    other = float(own.inspect(case.view(_copy(case), world.other, {})))
    if other != _score(case, _copy(case)):
        raise Broken("it states K0, and scores otherwise with other clean data")


INSPECTOR = (
    Clause(
        "it can be asked for the score of a model",
        "mend what it raises; `inspect(view)` returns a float",
        runs,
        basis=True,
    ),
    *(clause for clause in SOUND if clause.name in ("frozen", "prepares")),
    Clause(
        "the score is a finite float, and models differ in it",
        "return a Python float, such as `float(value)`",
        number,
        basis=True,
    ),
    Clause(
        "the same seed gives the same score",
        "draw from view.generator alone",
        seeded,
    ),
    Clause(
        "a score depends on the weights that it is given, on no earlier ones",
        "keep nothing by the identity of a model",
        anew,
    ),
    Clause(
        "model, clean data and the state of the process stay as they are",
        "work on copies (`.clone()`, copy.deepcopy) and set back what you set; remove your hooks",
        untouched,
    ),
    Clause(
        "it knows what it states: as K0 the faced model and the size of its images",
        'set `knowledge` to "K1" if it reads view.benign or has a preparation',
        knowledge,
    ),
)
