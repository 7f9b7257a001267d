"""Make a small world of real digits: a victim of seconds, targets, a few faced models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.norms import size
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.bench.cells.attack import numbers
from evil_twins.bench.cells.benign import drawn_log_odds
from evil_twins.bench.cells.targets import drawn_goals
from evil_twins.bench.subjects import architectures, data, victims

KAPPA = 0.75
BENIGN = 80
TARGETS = 4


@dataclass(frozen=True)
class Inputs:
    """Attacked inputs (N, C, H, W) under one faced model, with the name of their attack."""

    name: str
    model: nn.Module
    x: Tensor


@dataclass(frozen=True)
class World:
    """The models and images on which a detector is judged.

    Attributes:
        models: At least two faced models of one architecture, in eval mode, frozen.
        benign: Clean data (M, C, H, W) in [0, 1] for fits.
        other: As many other clean images.
        fresh: Benign images (S, C, H, W) for scores, at least 2.
        attacks: Attacked inputs.
        trusted: Knowledge, "K2" or "K3" -> the model that such a defender trusts.
    """

    models: Sequence[nn.Module]
    benign: Tensor
    other: Tensor
    fresh: Tensor
    attacks: Sequence[Inputs]
    trusted: Mapping[str, nn.Module]


@lru_cache(maxsize=1)
def attacker(device: str) -> AttackerView:
    """Make a view on four targets that the victim classifies correctly, with a second model."""
    digits = data.load("digits")
    victim = _trained(digits, 0, device)
    with torch.no_grad():
        right = victim(digits.development.x.to(device)).argmax(1).cpu() == digits.development.label
    chosen = digits.development.take(torch.nonzero(right).flatten()[:TARGETS])
    goal = drawn_goals("digits", chosen, 10)
    targets = Targets(chosen.x.to(device), chosen.label.to(device), goal.to(device))
    x, label = digits.train.x.to(device), digits.train.label.to(device)
    reference = Reference.of(victim, x, label)
    draws, surrogate = numbers("digits", chosen.ids), _trained(digits, 1, device)
    with torch.no_grad():
        logits = victim(digits.fit.x.to(device))
    log_odds = drawn_log_odds("digits", chosen.ids, logits, digits.fit.label.to(device))
    x, label = digits.heldout.x.to(device), digits.heldout.label.to(device)
    return AttackerView(
        victim,
        targets,
        reference,
        draws,
        surrogate=surrogate,
        benign_log_odds=log_odds,
        trials=Reference.of(victim, x, label),
    )


@lru_cache(maxsize=1)
def defender(device: str) -> World:
    """Make a world of the victim and of poisoned models, with inputs of PGD and IMC."""
    digits, view = data.load("digits"), attacker(device)
    step, head = InputStep(), ModelStep("head")
    victim = cast(nn.Module, view.victim)
    pgd = PGD(step, KAPPA)(view)
    poisoned = Poisoning(head, KAPPA)(view)
    unit = replace(view, radii=size(pgd.x - view.targets.x, "linf"))
    both = IMC(step, head, KAPPA, phi=0.5)(unit)
    attacks = [Inputs("PGD", victim, pgd.x)]
    for name, result in (("poisoning", poisoned), ("IMC", both)):
        attacks += [Inputs(name, result.models[i], result.x[i : i + 1]) for i in range(TARGETS)]
    benign, other = digits.train.x[:200].to(device), digits.train.x[200:400].to(device)
    fresh = digits.calibration.x[:BENIGN].to(device)
    trusted = {"K2": cast(nn.Module, view.surrogate), "K3": victim}
    return World((victim, poisoned.models[0]), benign, other, fresh, attacks, trusted)


def _trained(digits: data.Dataset, seed: int, device: str) -> architectures.Classifier:
    recipe = victims.Recipe(epochs=8)
    return victims.train(digits.train, "resnet-tiny", 10, recipe, seed, device)
