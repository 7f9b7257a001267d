"""Claims a to c: the trade-off is below the diagonal, steep at both ends, stronger at higher κ."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Role, Unmeasured, bootstrapped
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim
from evil_twins.bench.analysis.tables.text import level, short

Floats = NDArray[np.float64]
DISAGREEMENT, KL = "disagreement", "kl"


def _curves(
    of: Evidence, kappas: Sequence[float], levels: Sequence[float], loss: str
) -> tuple[list[tuple[Floats, Floats]], int]:
    """Return ρ at the levels of φ: for each κ (levels,) and (resamples, levels), on equal targets.

    Raises:
        Unmeasured: A row was not run, no target is at κ in all of them, or Poisoning costs nothing.
    """
    rows = [of.scope.row(kappa, phi) for kappa in kappas for phi in (0.0, *levels)]
    names = of.reached(rows)
    losses = of.disagreement(rows, names) if loss == DISAGREEMENT else of.means(rows, names, loss)
    curves = []
    for start in range(0, len(rows), 1 + len(levels)):
        end, inner = start, slice(start + 1, start + 1 + len(levels))
        if losses.value[end] == 0:
            raise Unmeasured("Poisoning flips no image of R: nothing to divide by")
        with np.errstate(divide="ignore", invalid="ignore"):
            samples = losses.samples[:, inner] / losses.samples[:, [end]]
        samples[losses.samples[:, end] == 0] = np.nan
        curves.append((losses.value[inner] / losses.value[end], samples))
    return curves, len(names)


def _gain(rho: Floats, levels: Sequence[float]) -> Floats:
    """Return A, the mean distance below the diagonal along the last axis."""
    gain: Floats = (1 - np.asarray(levels) - rho).mean(axis=-1)
    return gain


def leverage(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim a."""
    rule = rules.claims["a"]

    def measure(kappa: float, loss: str, of: Evidence) -> Estimate:
        [(value, samples)], n = _curves(of, [kappa], rule.levels, loss)
        return bootstrapped(float(_gain(value, rule.levels)), _gain(samples, rule.levels), n)

    roles: dict[str, Role] = {DISAGREEMENT: "test", KL: "condition"}
    return [
        Statistic(
            f"A of the {loss}, κ {level(kappa)}".replace("kl", "mean KL"),
            rule.margins[loss],
            by_victim(partial(measure, kappa, loss)),
            role,
        )
        for kappa in efficacy.kappas
        for loss, role in roles.items()
    ]


def crossing(rho: Floats, grid: Floats, level: float) -> float:
    """Return the φ at which a falling isotonic fit of ρ, joined by lines, meets a level."""
    if not np.isfinite(rho).all():
        return float("nan")
    fit = isotonic_regression(rho, increasing=False).x
    first = int(np.argmax(fit <= level))  # 0 only where nothing is below: ρ(0) is 1
    if first == 0:
        return float("nan")
    above, below = fit[first - 1], fit[first]
    share = (above - level) / (above - below)
    return float(grid[first - 1] + share * (grid[first] - grid[first - 1]))


def ends(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim b."""
    rule, kappa = rules.claims["b"], efficacy.kappa
    (step,) = rule.levels
    grid = np.array(rules.sweep.grid)

    def poisoning(of: Evidence) -> Estimate:
        [(value, samples)], n = _curves(of, [kappa], [step], DISAGREEMENT)
        return bootstrapped(float((1 - value[0]) / step), (1 - samples[:, 0]) / step, n)

    def pgd(of: Evidence) -> Estimate:
        [(value, samples)], n = _curves(of, [kappa], grid[1:].tolist(), DISAGREEMENT)
        at = np.array([crossing(np.append(1.0, rho), grid, step) for rho in (value, *samples)])
        if np.isnan(at[0]):
            raise Unmeasured(f"ρ does not fall to {short(step)} within the sweep")
        return bootstrapped(float((1 - at[0]) / step), (1 - at[1:]) / step, n)

    margins, words = rule.margins, short(step)
    return [
        Statistic(f"(1 − ρ({words})) / {words}", margins["poisoning"], by_victim(poisoning)),
        Statistic(f"(1 − φ[ρ = {words}]) / {words}", margins["pgd"], by_victim(pgd)),
    ]


def higher(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistic of claim c; none at an efficacy that has a single κ."""
    levels, (low, high) = rules.claims["a"].levels, (min(efficacy.kappas), max(efficacy.kappas))
    if low == high:
        return []

    def measure(of: Evidence) -> Estimate:
        (first, second), n = _curves(of, [low, high], levels, DISAGREEMENT)
        value, samples = (
            _gain(high_rho, levels) - _gain(low_rho, levels)
            for low_rho, high_rho in zip(first, second, strict=True)
        )
        return bootstrapped(float(value), samples, n)

    name = f"A(κ {level(high)}) − A(κ {level(low)})"
    return [Statistic(name, rules.claims["c"].margins["difference"], by_victim(measure))]
