"""Claims a to c: the trade-off is below the diagonal, steep at both ends, stronger at higher κ."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Part, Role, Unmeasured, bootstrapped
from evil_twins.bench.analysis.tables.text import short

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


def leverage(of: Evidence) -> list[Part]:
    """Compute the parts of claim a."""
    rule = of.rules.claims["a"]

    def measure(kappa: float, loss: str) -> Estimate:
        [(value, samples)], n = _curves(of, [kappa], rule.levels, loss)
        return Estimate(float(_gain(value, rule.levels)), _gain(samples, rule.levels), n)

    roles: dict[str, Role] = {DISAGREEMENT: "test", KL: "condition"}
    return [
        bootstrapped(
            f"A of the {loss}, κ {short(kappa)}".replace("kl", "mean KL"),
            rule.margins[loss],
            partial(measure, kappa, loss),
            role,
        )
        for kappa in of.rules.sweep.kappas
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


def ends(of: Evidence) -> list[Part]:
    """Compute the parts of claim b."""
    rule, kappa = of.rules.claims["b"], of.rules.primary.kappa
    (step,) = rule.levels
    grid = np.array(of.rules.sweep.grid)

    def poisoning() -> Estimate:
        [(value, samples)], n = _curves(of, [kappa], [step], DISAGREEMENT)
        return Estimate(float((1 - value[0]) / step), (1 - samples[:, 0]) / step, n)

    def pgd() -> Estimate:
        [(value, samples)], n = _curves(of, [kappa], grid[1:].tolist(), DISAGREEMENT)
        at = [crossing(np.append(1.0, rho), grid, step) for rho in (value, *samples)]
        if np.isnan(at[0]):
            raise Unmeasured(f"ρ does not fall to {short(step)} within the sweep")
        return Estimate((1 - at[0]) / step, (1 - np.array(at[1:])) / step, n)

    level = short(step)
    return [
        bootstrapped(f"(1 − ρ({level})) / {level}", rule.margins["poisoning"], poisoning),
        bootstrapped(f"(1 − φ[ρ = {level}]) / {level}", rule.margins["pgd"], pgd),
    ]


def higher(of: Evidence) -> list[Part]:
    """Compute the part of claim c."""
    levels, kappas = of.rules.claims["a"].levels, of.rules.sweep.kappas
    low, high = min(kappas), max(kappas)

    def measure() -> Estimate:
        (first, second), n = _curves(of, [low, high], levels, DISAGREEMENT)
        value, samples = (
            _gain(high_rho, levels) - _gain(low_rho, levels)
            for low_rho, high_rho in zip(first, second, strict=True)
        )
        return Estimate(float(value), samples, n)

    name = f"A(κ {short(high)}) − A(κ {short(low)})"
    return [bootstrapped(name, of.rules.claims["c"].margins["difference"], measure)]
