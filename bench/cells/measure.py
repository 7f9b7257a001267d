"""Measure the efficacy and the cost of an attack, target by target."""

import hashlib
from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Nature, Reference
from evil_twins.attacks.efficacy import Level, margin
from evil_twins.attacks.models import BATCH, PairedModels, Victim
from evil_twins.attacks.success import Trials
from evil_twins.bench.components import finite
from evil_twins.bench.store import records
from evil_twins.bench.store.records import Columns
from evil_twins.bench.subjects.data import Images

FACED = "a faced model"
"""Its name in messages."""

SHOWN = 8
"""Number of targets of a row whose images are kept for the figures."""

TOLERANCE = 1e-5
"""Relative rounding that is allowed when a distance is compared with its limit."""


@torch.no_grad()
def harm(
    models: PairedModels, victim: Victim, images: Images | Reference, features: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Measure how the N models differ from the victim on M images, of its features (M, D).

    Returns:
        Mean KL(victim ‖ faced) (N,), disagreement (N, M), drop of accuracy (N,).

    Raises:
        Fault: Some logits are not finite.
    """
    n, m = len(models), len(images)
    if models.layers == "none":
        return torch.zeros(n), torch.zeros(n, m, dtype=torch.bool), torch.zeros(n)
    kl, flips, drop = torch.zeros(n, dtype=torch.float64), [], torch.zeros(n, dtype=torch.float64)
    inputs = images.x if models.layers == "all" else features
    batches = (tensor.split(BATCH) for tensor in (inputs, features, images.label.cpu()))
    for x, z, label in zip(*batches, strict=True):
        benign = victim.head(z).double().log_softmax(-1)
        faced = models.logits(x.to(z.device).unsqueeze(0))
        faced = finite.logits(faced, FACED).double().log_softmax(-1)
        kl += (benign.exp() * (benign - faced)).sum((-1, -2)).cpu()
        before, after = benign.argmax(-1).cpu(), faced.argmax(-1).cpu()
        flips.append(before != after)
        drop += (before == label).sum() - (after == label).sum(-1)
    return kl / m, torch.cat(flips, 1), drop / m


def harm_on_reference(models: PairedModels, view: AttackerView) -> Tensor:
    """Measure the mean KL(victim ‖ faced) on the attacker's reference (N,).

    It is NaN where more than the last layer moved: N passes over all training images would cost
    more than the attack.
    """
    if models.layers == "all":
        return torch.full((len(models),), nan)
    return harm(models, view.victim, view.reference, view.reference.features)[0]


@torch.no_grad()
def outputs(models: PairedModels, x: Tensor) -> Tensor:
    """Compute the logits of each model at its own input, (N, K) float64.

    Raises:
        Fault: Some are not finite.
    """
    z = models.logits(models.features(x.unsqueeze(1))).squeeze(1)
    return finite.logits(z, FACED).double().cpu()


def within(nature: Nature, linf: Tensor, l2: Tensor, delta: Tensor) -> Tensor:
    """Check each target against the ε and the δ that the attack states, (N,)."""
    far = l2 if nature.norm == "l2" else linf
    return (far <= nature.eps * (1 + TOLERANCE)) & (delta <= nature.delta * (1 + TOLERANCE))


def frames(
    attack: Any,
    result: Attacked,
    view: AttackerView,
    images: Images,
    heldout: Images,
    features: Tensor,
    spec: Mapping[str, Any],
) -> dict[str, tuple[pd.DataFrame, Columns]]:
    """Return the parts of targets, flips and gallery, each with its columns.

    `images` are the targets of the view, `features` those of R = `heldout` under the victim (M, D),
    and `spec` has the targets in the spec of the cell.
    """
    n, m = len(images), result.serves
    faced = result.models.rows(torch.arange(0, n, m, device=result.x.device))
    harms = harm(faced, view.victim, heldout, features)
    kl, flips, drop = (part.repeat_interleave(m, 0) for part in harms)
    bound = torch.full((n,), nan) if result.bound is None else result.bound.cpu()
    targets = _targets(attack, result, view).assign(
        target_id=list(images.ids),
        list=spec["list"],
        kl=kl.numpy(),
        flipped=flips.sum(1).numpy(),
        heldout=len(heldout),
        accuracy_drop=drop.numpy(),
        norm=attack.nature.norm or "",
        kl_reference=harm_on_reference(faced, view).repeat_interleave(m).numpy(),
        kl_bound=bound.numpy(),
        group=[images.ids[i - i % m] for i in range(n)],
        content=[hashlib.sha256(each.numpy().tobytes()).hexdigest() for each in images.pixels],
    )
    rows, columns = np.nonzero(flips.numpy())
    pairs = [(images.ids[i], heldout.ids[j]) for i, j in zip(rows, columns, strict=True)]
    flipped = pd.DataFrame(pairs, columns=list(records.FLIPS))
    shown = max(0, min(n, SHOWN - spec["first"]))
    return {
        "targets": (targets, records.PARTS["targets"]),
        "flips": (flipped, records.FLIPS),
        "gallery": (_gallery(targets[:shown], images, result.x), records.GALLERY),
    }


def _targets(attack: Any, result: Attacked, view: AttackerView) -> pd.DataFrame:
    goal = view.targets.goal.cpu()
    never = torch.full((len(goal),), torch.inf, dtype=torch.float64)
    enough = never if attack.kappa is None else Level.of(view, attack.kappa).enough.cpu()
    x, at = result.x.detach(), goal.unsqueeze(1)
    rate = success_rates(result, view)
    faced = outputs(result.models, x)
    confidence = faced.softmax(1).gather(1, at).squeeze(1)
    coarse, log_odds = outputs(result.models, (x * 255).round() / 255), margin(faced, goal)
    reached, reached_8bit = log_odds >= enough, margin(coarse, goal) >= enough
    if result.stamp is not None:  # a trigger is required to win, with whatever confidence
        reached, reached_8bit = (z.argmax(1) == goal for z in (faced, coarse))
    far = (x.double() - view.targets.x.double()).flatten(1).cpu()
    linf, l2, delta = far.abs().amax(1), far.norm(dim=1), result.models.distance().cpu()
    return pd.DataFrame(
        {
            "label": view.targets.label.cpu(),
            "goal": goal,
            "confidence": confidence,
            "log_odds": log_odds,
            "at_kappa": reached,
            "within_eps": within(attack.nature, linf, l2, delta),
            "predicted": faced.argmax(1),
            "linf": linf,
            "l2": l2,
            "delta": delta,
            "confidence_8bit": coarse.softmax(1).gather(1, at).squeeze(1),
            "at_kappa_8bit": reached_8bit,
            "rounds": result.rounds.cpu(),
            "passes": result.passes.cpu(),
            "asr": rate,
            "layers": result.models.layers,
        }
    )


def success_rates(result: Attacked, view: AttackerView) -> Tensor:
    """Measure the share of trials of other classes that get the goal when stamped, (N,) or NaN."""
    n, m = len(result.x), result.serves
    if result.stamp is None:
        return torch.full((n,), nan, dtype=torch.float64)
    trials = Trials.of(view, view.targets.goal[::m])
    models = result.models.rows(torch.arange(0, n, m, device=result.x.device))
    return trials.rates(models, result.stamp).repeat_interleave(m).cpu()


def _gallery(targets: pd.DataFrame, images: Images, x: Tensor) -> pd.DataFrame:
    shape = ",".join(str(size) for size in images.pixels.shape[1:])
    floats = x.detach().cpu().numpy().astype("<f4")
    return targets[["target_id", "label", "goal", "predicted"]].assign(
        shape=shape,
        original=[images.pixels[i].numpy().tobytes() for i in range(len(targets))],
        attacked=[floats[i].tobytes() for i in range(len(targets))],
    )
