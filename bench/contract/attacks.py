"""The clauses that an attack must keep."""

import copy
from dataclasses import replace
from typing import cast

import torch
from scipy.special import expit as sigmoid
from torch import Tensor, nn

from evil_twins.attacks.base import Kappa
from evil_twins.attacks.efficacy import SLACK, Level, margins
from evil_twins.attacks.models import HEAD, PairedModels
from evil_twins.attacks.norms import size
from evil_twins.attacks.success import AIM, RATE, Trials
from evil_twins.bench.cells import measure
from evil_twins.bench.components.process_state import Globals
from evil_twins.bench.contract.cases import AttackCase, difference, single_target
from evil_twins.bench.contract.clause import Broken, Doubtful, clause, refuse_loose
from evil_twins.bench.contract.state import changes, snapshot, stir

ROUNDING = 1e-5
"""Allowed difference of a stated confidence from that of the models."""

ROUNDING_OF_LOG_ODDS = 1e-4
"""Allowed excess over the largest log-odds of equal efficacy."""


@clause("fix its exception; called with a view, it returns an `Attacked`")
def runs(case: AttackCase) -> None:
    """It attacks four targets."""
    _ = case.returned


@clause("write @dataclass(frozen=True) above it")
def frozen(case: AttackCase) -> None:
    """It is a frozen dataclass whose fields are its parameters."""
    refuse_loose(case.attack)


@clause("clamp to [0, 1], detach, and return PairedModels over view.victim", after=("runs",))
def sound(case: AttackCase) -> None:
    """x* are finite images in [0, 1] like the targets, with a model and three facts for each."""
    result, x = case.result, case.view.targets.x
    if result.x.device != x.device:
        raise Broken(f"x* is on {result.x.device}; {x.device} expected")
    graphs = [name for name, value in result.models.parameters.items() if value.requires_grad]
    if result.x.requires_grad or graphs:
        raise Broken(
            f"{'x*' if result.x.requires_grad else graphs[0]} carries a graph of gradients"
        )


@clause(
    "return models.confidence(x, view.targets.goal), and change no weights outside `models`",
    after=("sound",),
)
def confidence(case: AttackCase) -> None:
    """The confidence that it states is f_t(x*; θ*) under the victim of its view."""
    result, goal = case.result, case.view.targets.goal
    for i in range(len(goal)):
        actual = float(case.result.models[i](result.x[i : i + 1]).softmax(1)[0, goal[i]])
        stated = float(result.confidence[i])
        if abs(actual - stated) > ROUNDING:
            raise Broken(f"it states {stated:.6f} for target {i}, whose model gives {actual:.6f}")


@clause(
    "end with evil_twins.attacks.efficacy.equalise; or set `kappa` to None if it aims at none",
    after=("sound",),
)
def efficacy(case: AttackCase) -> None:
    """Targets that reach κ end in [κ, κ + 0.01], where it states a κ.

    For κ "benign" the range is 0.05 wide in log-odds.
    """
    kappa = case.attack.kappa
    if kappa is None or case.attack.nature.role != "attack":
        return
    result, level = case.result, Level.of(case.view, kappa)
    with torch.no_grad():
        g = margins(result.models, result.x, case.view.targets.goal).double()
    i, j = int((g - level.limit).argmax()), int((g - level.enough).argmax())
    if g[i] > level.limit[i] + ROUNDING_OF_LOG_ODDS:
        most, limit = _shown(kappa, g[i]), _shown(kappa, level.limit[i])
        raise Broken(f"κ is {kappa}; it went on to {most}, beyond {limit}")
    if g[j] < level.enough[j]:
        most = _shown(kappa, g[j])
        raise Doubtful(f"κ is {kappa}; of {len(g)} targets none came beyond {most}")


@clause(
    "end with evil_twins.attacks.trigger_loop.carry; or set `trigger` to False in its nature",
    after=("sound",),
)
def success_rate(case: AttackCase) -> None:
    """A trigger that reaches the success rate ends where the last input that counts wins."""
    if not case.attack.nature.trigger:
        return
    result, view = case.result, case.view
    if result.stamp is None:
        raise Broken("it returned no stamp, and its nature says that it has a trigger")
    first = torch.arange(0, len(result.x), result.serves, device=result.x.device)
    trials = Trials.of(view, view.targets.goal[first])
    lowest = trials.lowest(result.models.rows(first), result.stamp, torch.arange(len(first)))
    if lowest.max() > AIM[1] + ROUNDING_OF_LOG_ODDS:
        raise Broken(f"a share of {RATE} of the inputs has a margin of {lowest.max():.3f}, not 0")
    if lowest.max() < 0:
        rate = measure.success_rates(result, view).max()
        raise Doubtful(f"no trigger came beyond a success rate of {rate:.3f}")


def _shown(kappa: Kappa, log_odds: Tensor) -> str:
    """Write log-odds () as the confidence; near 1 as they are."""
    number = float(log_odds)
    return f"log-odds {number:.4f}" if kappa == "benign" else f"{sigmoid(number):.4f}"


@clause("project with evil_twins.attacks.norms.project at the end of every step", after=("sound",))
def limits(case: AttackCase) -> None:
    """Inputs stay within the ε, and models within the δ, that it states."""
    change = (case.result.x.double() - case.view.targets.x.double()).flatten(1)
    distances = change.abs().amax(1), change.norm(dim=1), case.result.models.distance()
    kept = measure.within(case.attack.nature, *distances)
    if not bool(kept.all()):
        i = int((~kept).nonzero()[0])
        linf, l2, delta = (float(value[i]) for value in distances)
        raise Broken(f"target {i} lies at linf {linf:.4g}, l2 {l2:.4g}, its model at δ {delta:.4g}")


@clause("name no other parameters in PairedModels", after=("sound",))
def layers(case: AttackCase) -> None:
    """Models differ in the head only, where it states layers = "head"."""
    others = sorted(set(case.result.models.parameters) - HEAD)
    if case.attack.nature.layers == "head" and others:
        raise Broken(f'it states layers = "head", and returns {others[0]}')


@clause(
    "draw from view.generator(i, purpose, round), never from a global generator", after=("sound",)
)
def repeated(case: AttackCase) -> None:
    """Two runs give the same inputs and models."""
    first = case.result
    stir(1)
    if part := difference(first, case.run(case.view)):
        raise Broken(f"a second run gave other {part}")


@clause(
    "work on copies, and set back what you set; edits of weights belong into PairedModels",
    after=("runs",),
)
def untouched(case: AttackCase) -> None:
    """The victim, the targets, the reference and the state of the process stay as they are."""
    view = copy.deepcopy(case.view)
    tensors = {"the targets": view.targets.x, "their labels": view.targets.label}
    tensors |= {"their goals": view.targets.goal, "the reference": view.reference.x}
    tensors |= {"its labels": view.reference.label, "its features": view.reference.features}
    victim = cast(nn.Module, view.victim)
    before, process = snapshot(victim, tensors), Globals.now()
    case.attack(view)
    changed = changes(before, snapshot(victim, tensors)) + process.changed()
    if changed:
        raise Broken(f"it changed {', '.join(changed[:3]).replace('the model', 'the victim')}")


@clause(
    "take no step that several targets share, and draw for each by its own index", after=("sound",)
)
def independent(case: AttackCase) -> None:
    """The result for a target does not depend on the other targets."""
    # Pixels may differ, because sign() amplifies rounding; confidences and distances may not. A
    # trigger ends at a success rate, which takes the place of its confidence at one input.
    view, result = case.view, case.result
    distances = case.result.models.distance()
    for i in (0, len(view.targets) - 1):
        single = case.run(single_target(view, i))
        model = PairedModels(view.victim, 1, single.models.parameters)
        ours, others = float(single.confidence), float(result.confidence[i])
        if case.attack.nature.trigger:
            ours = float(measure.success_rates(single, single_target(view, i)))
            others = float(measure.success_rates(result, view)[i])
        if abs(ours - others) > SLACK / 2:
            raise Broken(f"target {i} reached {ours:.4f} by itself, {others:.4f} among others")
        inputs = size(torch.stack([single.x[0], result.x[i]]) - view.targets.x[i], "linf").tolist()
        models = [float(model.distance()), float(distances[i])]
        for part, (single_move, other) in (("input", inputs), ("model", models)):
            if abs(single_move - other) > 0.1 * other + 2e-3:
                moves = f"moved {single_move:.4g} by itself, {other:.4g} among others"
                raise Broken(f"the {part} of target {i} {moves}")


@clause("use view.targets.goal; inputs that depend on the true class reveal it", after=("sound",))
def labels(case: AttackCase) -> None:
    """The true classes leave no trace: it aims at the goals."""
    view = case.view
    classes = view.victim.head.out_features
    other = (view.targets.label + 1) % classes
    other = torch.where(other == view.targets.goal, (other + 1) % classes, other)
    misled = case.run(replace(view, targets=replace(view.targets, label=other)))
    if part := difference(case.result, misled):
        raise Doubtful(f"with other true classes it gave other {part} for the same goals")


ATTACK = (
    *(runs, frozen, sound, confidence, efficacy, success_rate, limits, layers),
    *(repeated, untouched, independent, labels),
)
