"""Rivals that search the nearest input at κ in l∞, each from its paper, in plain loops."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.efficacy import AIM, logit, margin
from evil_twins.attacks.norms import per_item
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.yardsticks.bisection import Bisection
from evil_twins.attacks.yardsticks.fab import FAB

Search = Callable[[AttackerView, float], tuple[Tensor, Tensor]]
"""(view, κ) -> smallest distances at κ (N,), infinite if κ is missed, and passes (N,)."""

FMN_STEPS, APGD_STEPS, HALVINGS, ACCURACY = 300, 100, 16, 0.01


def of_attack(view: AttackerView, attacked: Attacked, kappa: float) -> tuple[Tensor, Tensor]:
    distance = norms.size(attacked.x - view.targets.x, "linf")
    return torch.where(attacked.confidence >= kappa, distance, torch.inf), attacked.passes


def pgd(view: AttackerView, kappa: float) -> tuple[Tensor, Tensor]:
    return of_attack(view, PGD(InputStep(), kappa)(view), kappa)


def bisection(view: AttackerView, kappa: float) -> tuple[Tensor, Tensor]:
    return of_attack(view, Bisection(InputStep(), kappa, halvings=12)(view), kappa)


def fab(view: AttackerView, kappa: float) -> tuple[Tensor, Tensor]:
    return of_attack(view, FAB("linf", kappa)(view), kappa)


def excess(view: AttackerView, x: Tensor, goal: Tensor, kappa: float) -> tuple[Tensor, Tensor]:
    """Compute g - logit κ (n,) and its gradient."""
    leaf = x.detach().requires_grad_()
    g = margin(view.victim(leaf), goal) - logit(kappa + AIM)
    (gradient,) = torch.autograd.grad(g.sum(), leaf)
    return g.detach(), gradient


def fmn(view: AttackerView, kappa: float) -> tuple[Tensor, Tensor]:
    """Fast minimum norm (Pintor et al., NeurIPS 2021, Algorithm 1), its loss replaced by g."""
    origin, goal, tiny = view.targets.x, view.targets.goal, 1e-12
    delta = torch.zeros_like(origin)
    radius = best = origin.new_full((len(origin),), torch.inf)
    for k in range(FMN_STEPS):
        pace = (1 + math.cos(math.pi * k / FMN_STEPS)) / 2
        change, step = 0.001 + 0.049 * pace, 0.01 + 0.99 * pace
        g, gradient = excess(view, origin + delta, goal, kappa)
        size, reached = norms.size(delta, "linf"), g >= 0
        best = torch.where(reached & (size < best), size, best)
        linear = size + g.abs() / norms.dual_size(gradient, "linf").clamp_min(tiny)
        larger = torch.where(best.isfinite(), radius * (1 + change), linear)
        radius = torch.where(reached, torch.minimum(radius * (1 - change), best), larger)
        moved = origin + delta + step * norms.direction(gradient, "l2")
        delta = norms.project(moved, origin, radius, "linf") - origin
    return best, torch.full_like(goal, 2 * FMN_STEPS)


def apgd(view: AttackerView, kappa: float) -> tuple[Tensor, Tensor]:
    """AutoPGD within balls (Croce & Hein, ICML 2020), and bisection of the radius to 1 %."""
    origin, goal = view.targets.x, view.targets.goal
    best, passes = origin.new_full((len(origin),), torch.inf), torch.zeros_like(goal)
    low, high = torch.zeros_like(best), torch.ones_like(best)
    active = torch.arange(len(goal))
    for attempt in range(1 + HALVINGS):
        radius = ((low + high) / 2 if attempt else high)[active]
        distance, spent = _within(view, kappa, active, radius)
        passes[active] += spent
        best[active] = torch.minimum(best[active], distance)
        reached = distance.isfinite()
        high[active] = torch.where(reached, torch.minimum(radius, distance), high[active])
        low[active] = torch.where(reached, low[active], radius)
        active = torch.nonzero(best.isfinite() & (high - low > ACCURACY * high)).flatten()
        if not len(active):
            break
    return best, passes


def _within(
    view: AttackerView, kappa: float, rows: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Return distances at κ (n,), infinite if κ is missed, and passes (n,)."""
    origin, goal = view.targets.x[rows], view.targets.goal[rows]
    x = before = best_x = origin
    step = 2 * radius
    g, slope = excess(view, x, goal, kappa)
    best, best_slope, at_check = g, slope, g
    reached = g >= 0
    distance, passes = torch.where(reached, 0.0, torch.inf), torch.full_like(goal, 2)
    rises, shortened = torch.zeros_like(g), torch.ones_like(reached)
    wait, count = max(1, int(0.22 * APGD_STEPS)), 0
    for k in range(APGD_STEPS):
        if reached.all():
            break
        far = norms.project(x + per_item(step, x) * slope.sign(), origin, radius, "linf")
        share = 0.75 if k else 1.0
        z = norms.project(
            x + share * (far - x) + (1 - share) * (x - before), origin, radius, "linf"
        )
        before, x = x, torch.where(per_item(reached, x), x, z)
        passes = passes + 2 * ~reached
        last, (g, slope) = g, excess(view, x, goal, kappa)
        rises, better, count = rises + (g > last), g > best, count + 1
        best, best_x = torch.where(better, g, best), torch.where(per_item(better, x), x, best_x)
        best_slope = torch.where(per_item(better, x), slope, best_slope)
        distance = torch.where((g >= 0) & ~reached, norms.size(x - origin, "linf"), distance)
        reached = reached | (g >= 0)
        if count == wait:
            shorter = ((rises < 0.75 * wait) | (~shortened & (best <= at_check))) & ~reached
            step, g = torch.where(shorter, step / 2, step), torch.where(shorter, best, g)
            x = torch.where(per_item(shorter, x), best_x, x)
            slope = torch.where(per_item(shorter, x), best_slope, slope)
            shortened, at_check, rises = shorter, best, torch.zeros_like(g)
            wait, count = max(wait - int(0.03 * APGD_STEPS), int(0.06 * APGD_STEPS)), 0
    return distance, passes


SEARCHES: dict[str, Search] = {
    "pgd": pgd,
    "fmn": fmn,
    "apgd, bisected": apgd,
    "pgd-bisection": bisection,
    "fab": fab,
}
RIVALS = ("fmn", "apgd, bisected", "pgd-bisection")
