"""The clauses that an attack must keep."""

import copy
from dataclasses import replace
from typing import cast

import torch
from torch import nn

from evil_twins.attacks.efficacy import SLACK
from evil_twins.attacks.models import HEAD, PairedModels
from evil_twins.attacks.norms import size
from evil_twins.bench.cells import measure
from evil_twins.bench.contract.attacked import AttackCase, one, unlike
from evil_twins.bench.contract.clause import Broken, Clause, Doubtful, refuse_loose
from evil_twins.bench.contract.state import Globals, differing, picture, stir

STATED = 1e-5
"""By so much a stated confidence may differ from the one that the models give."""


def runs(case: AttackCase) -> None:
    """It gets through four targets, whatever it returns."""
    _ = case.returned


def frozen(case: AttackCase) -> None:
    """Parameters are data that nothing changes."""
    refuse_loose(case.attack)


def sound(case: AttackCase) -> None:
    """Images, models and facts have the shapes and ranges that they must have."""
    found, x = case.found, case.view.targets.x
    if found.x.dtype != x.dtype or found.x.device != x.device:
        raise Broken(f"x* is {found.x.dtype} on {found.x.device}; {x.dtype} on {x.device} expected")
    graphs = [name for name, v in found.models.parameters.items() if v.requires_grad]
    if found.x.requires_grad or graphs:
        raise Broken(f"{'x*' if found.x.requires_grad else graphs[0]} carries a graph of gradients")


def confidence(case: AttackCase) -> None:
    """It says what it has reached."""
    found, goal = case.found, case.view.targets.goal
    for i in range(len(goal)):
        given = float(case.models[i](found.x[i : i + 1]).softmax(1)[0, goal[i]])
        if abs(given - float(found.confidence[i])) > STATED:
            stated = float(found.confidence[i])
            raise Broken(f"it states {stated:.6f} for target {i}, whose model gives {given:.6f}")


def efficacy(case: AttackCase) -> None:
    """No target that reaches κ is surer than the others that do."""
    kappa = case.attack.kappa
    if kappa is None or case.attack.nature.role != "attack":
        return
    with torch.no_grad():
        reached = case.models.confidence(case.found.x, case.view.targets.goal)
    over = float(reached.max())
    if over > kappa + SLACK + STATED:
        raise Broken(f"κ is {kappa:g}; it went on to {over:.4f}, beyond {kappa + SLACK:g}")
    if not bool((reached >= kappa).any()):
        raise Doubtful(f"κ is {kappa:g}; of {len(reached)} targets none came beyond {over:.4f}")


def limits(case: AttackCase) -> None:
    """It stays within the ε and the δ that it states."""
    away = (case.found.x.double() - case.view.targets.x.double()).flatten(1)
    far = away.abs().amax(1), away.norm(dim=1), case.models.distance()
    kept = measure.within(case.attack.nature, *far)
    if not bool(kept.all()):
        i = int((~kept).nonzero()[0])
        linf, l2, delta = (float(value[i]) for value in far)
        raise Broken(f"target {i} lies at linf {linf:.4g}, l2 {l2:.4g}, its model at δ {delta:.4g}")


def layers(case: AttackCase) -> None:
    """It changes the layers that it states."""
    others = sorted(set(case.found.models.parameters) - HEAD)
    if case.attack.nature.layers == "head" and others:
        raise Broken(f'it states layers = "head", and returns {others[0]}')


def repeated(case: AttackCase) -> None:
    """Chance comes from the view's generator alone."""
    first = case.found
    stir(1)
    if what := unlike(first, case.run(case.view)):
        raise Broken(f"a second run gave other {what}")


def untouched(case: AttackCase) -> None:
    """What it is given stays as it was."""
    view = copy.deepcopy(case.view)
    given = {"the targets": view.targets.x, "their labels": view.targets.label}
    given |= {"their goals": view.targets.goal, "the reference": view.reference.x}
    given |= {"its labels": view.reference.label, "its features": view.reference.features}
    victim = cast(nn.Module, view.victim)
    shown, before = picture(victim, given), Globals.now()
    case.attack(view)
    changed = differing(shown, picture(victim, given)) + before.changed()
    if changed:
        raise Broken(f"it changed {', '.join(changed[:3]).replace('the model', 'the victim')}")


def alone(case: AttackCase) -> None:
    """A target fares as well without the others, if not by the same pixels: sign() amplifies."""
    view, found = case.view, case.found
    together = case.models.distance()
    for i in (0, len(view.targets) - 1):
        single = case.run(one(view, i))
        ours = PairedModels(view.victim, 1, single.models.parameters)
        own, others = float(single.confidence), float(found.confidence[i])
        if abs(own - others) > SLACK / 2:
            raise Broken(f"alone, target {i} reached {own:.4f}; among others {others:.4f}")
        far = size(torch.stack([single.x[0], found.x[i]]) - view.targets.x[i], "linf").tolist()
        moved = [float(ours.distance()), float(together[i])]
        for what, (lone, other) in (("input", far), ("model", moved)):
            if abs(lone - other) > 0.1 * other + 2e-3:
                raise Broken(f"alone, the {what} of target {i} moved {lone:.4g}; else {other:.4g}")


def labels(case: AttackCase) -> None:
    """It aims at the goal, and the true class leaves no trace in what it returns."""
    view = case.view
    classes = view.victim.head.out_features
    other = (view.targets.label + 1) % classes
    other = torch.where(other == view.targets.goal, (other + 1) % classes, other)
    misled = case.run(replace(view, targets=replace(view.targets, label=other)))
    if what := unlike(case.found, misled):
        raise Doubtful(f"with other true classes it gave other {what} for the same goals")


ATTACK = (
    Clause(
        "it attacks four targets",
        "mend what it raises; called with a view, it returns an `Attacked`",
        runs,
        basis=True,
    ),
    Clause(
        "it is a frozen dataclass whose fields are its parameters",
        "write @dataclass(frozen=True) above it",
        frozen,
    ),
    Clause(
        "x* are finite images in [0, 1] like the targets, with a model and three facts for each",
        "clamp to [0, 1], detach, and return PairedModels over view.victim",
        sound,
        basis=True,
    ),
    Clause(
        "the confidence that it states is f_t(x*; θ*) under the victim that it was given",
        "return models.confidence(x, view.targets.goal), and change no weights outside `models`",
        confidence,
    ),
    Clause(
        "targets that reach κ end in [κ, κ + 0.01], where it states a κ",
        "end with evil_twins.attacks.efficacy.equalise; or set `kappa` to None if it aims at none",
        efficacy,
    ),
    Clause(
        "inputs stay within the ε, and models within the δ, that it states",
        "project with evil_twins.attacks.norms.project at the end of every step",
        limits,
    ),
    Clause(
        'models differ in the head only, where it states layers = "head"',
        "name no other parameters in PairedModels",
        layers,
    ),
    Clause(
        "two runs give the same inputs and models",
        "draw from view.generator(i, purpose, round), never from a global generator",
        repeated,
    ),
    Clause(
        "the victim, the targets, the reference and the state of the process stay as they are",
        "work on copies, and set back what you set; edits of weights belong into PairedModels",
        untouched,
    ),
    Clause(
        "a target fares alike alone and among others",
        "take no step that several targets share, and draw for each by its own index",
        alone,
    ),
    Clause(
        "the true classes leave no trace: it aims at the goals",
        "use view.targets.goal; inputs that depend on the true class can be told by it",
        labels,
    ),
)
