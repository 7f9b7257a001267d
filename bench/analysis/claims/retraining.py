"""Claim j: re-training leaves less room to IMC than to PGD.

Poisoned after: the victim is re-trained on adversarial inputs, and everything is attacked again.
Poisoned before: re-training starts from the initial weights, so that it removes the poison, and IMC
is PGD under the same re-trained victim. A target's r is the least share φ of its PGD radius at
which IMC costs at most half the mean KL on R of its Poisoning.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import Evidence, gather
from evil_twins.bench.analysis.claims.part import Estimate, Part, Unmeasured, bootstrapped
from evil_twins.bench.analysis.claims.rules import retrained
from evil_twins.bench.analysis.claims.tradeoff import crossing
from evil_twins.bench.analysis.paper import comparison
from evil_twins.bench.analysis.tables import Analysis, frames, text
from evil_twins.bench.analysis.tables.records import STUDY

Floats = NDArray[np.float64]
COLUMNS = [*STUDY, "attack", "layers", "kappa", "of", "retraining", "n"]
COLUMNS += ["linf", "low", "high", "largest", "paper"]
WHEN = ("before", "after")
ATTACKS = ("PGD", "IMC")
ANEW = (
    "r after is 1 by construction: a model trained anew keeps nothing of the poison, so that IMC "
    "is PGD; one that is trained on from its poisoned weights is not measured"
)


def with_retrained(sweeps: Iterable[Evidence], results: Path, suite: str) -> Iterator[Evidence]:
    """Add to each sweep of a suite the same sweep against the re-trained victim.

    The folder `results` holds the suite that the rules name for that victim.

    Raises:
        UserError: The records of that suite are damaged or of another version.
    """
    after = dict[tuple[Any, ...], Evidence]()
    for of in sweeps:
        if not after and (folder := retrained(results, suite)):
            after = {_sweep(other): other for other in gather(Analysis(folder), of.rules)}
        yield replace(of, after=after.get(_sweep(of)))


def _sweep(of: Evidence) -> tuple[Any, ...]:
    """Return the keys that are equal for two victims under the same attack."""
    return tuple(of.scope.key[name] for name in ("dataset", "seed", "attack", "layers"))


def room(of: Evidence) -> list[Part]:
    """Compute the parts of claim j, for r before / r after: above 1 if the inverse is below."""
    margin = 1 / of.rules.claims["j"].margins["ratio"]
    name = "r before / r after re-training, poisoned {}".format
    return [
        bootstrapped(name("after it"), margin, lambda: _gain(of, paired(of))),
        # r after is no estimate: the interval is that of r before, and there is nothing to test.
        replace(
            bootstrapped(name("before it"), margin, lambda: _cleared(of), "beside"),
            p_above=nan,
            p_below=nan,
        ),
    ]


def _cleared(of: Evidence) -> Estimate:
    estimate = _gain(of, paired(of).assign(r_after=1.0))
    return estimate._replace(note=f"{estimate.note}; {ANEW}")


def _gain(of: Evidence, both: pd.DataFrame) -> Estimate:
    n, (before, after) = len(both), (np.log(frames.column(both, f"r_{when}")) for when in WHEN)
    samples: Floats = np.exp(of.draws(n) @ (before - after) / n)
    value = float(np.exp((before - after).mean()))
    low, high = (text.number(1 / end) for end in stats.percentile(value, samples)[:0:-1])
    first, second = (text.number(float(np.exp(logs.mean()))) for logs in (before, after))
    ratio = f"after / before {text.number(1 / value)} [{low}, {high}]"
    return Estimate(value, samples, n, f"r {first} → {second}, {ratio}{_extrapolated(of, both)}")


def _extrapolated(of: Evidence, both: pd.DataFrame) -> str:
    """Count the targets whose r lies below the first φ above 0, where it is interpolated."""
    least = min(phi for phi in of.rules.sweep.grid if phi > 0)
    below = [int((both[f"r_{when}"] < least).sum()) for when in WHEN]
    if not any(below):
        return ""
    return f"; below the least φ that was run, {text.short(least)}: {below[0]} → {below[1]} targets"


def paired(of: Evidence) -> pd.DataFrame:
    """Return one line per target of both victims, paired by name and goal.

    Columns are r_before, r_after; PGD_before, PGD_after, the smallest ε of PGD in pixels of [0, 1];
    IMC_before, IMC_after, r times that ε.

    Raises:
        Unmeasured: There are no records of the re-trained victim, or not those of every level.
    """
    if of.after is None:
        raise Unmeasured("no records of the victim re-trained stand beside this suite")
    try:
        after = _rooms(of.after).add_suffix("_after")
    except Unmeasured as missing:
        raise Unmeasured(f"after re-training {missing}") from missing
    both = _rooms(of).add_suffix("_before").join(after, how="inner")
    both = both[both["goal_before"] == both["goal_after"]]
    if both.empty:
        raise Unmeasured("no target is at κ in every row of both victims")
    return both


def _rooms(of: Evidence) -> pd.DataFrame:
    """Return goal, r, and the least ε of PGD and IMC by target that is at κ in every row."""
    share, kappa, grid = of.rules.claims["j"].share, of.rules.primary.kappa, of.rules.sweep.grid
    rows = [of.scope.row(kappa, phi) for phi in grid]
    names = of.reached(rows)
    kl = of.column(rows, names, "kl")
    if (kl[:, 0] <= 0).any():
        raise Unmeasured("Poisoning costs no KL: nothing to halve")
    at = np.array(grid)
    r = np.array([crossing(losses / losses[0], at, share) for losses in kl])
    pgd = of.column(rows[-1:], names, of.rules.sweep.norm)[:, 0]
    goal = of.column(rows[:1], names, "goal")[:, 0]
    return pd.DataFrame({"goal": goal, "r": r, "PGD": pgd, "IMC": r * pgd}, index=names)


def largest(sweeps: Sequence[Evidence]) -> pd.DataFrame:
    """Return the smallest ε of PGD and IMC, before and after re-training, with that of the paper.

    `linf` is the mean over the n targets of both victims, with its bootstrap interval, `largest`
    their maximum, both in pixels of [0, 1]; `paper` is the largest perturbation that the paper
    prints after re-training. Sweeps without records of the re-trained victim are skipped.
    """
    lines = []
    for of in sweeps:
        try:
            both = paired(of)
        except Unmeasured:
            continue
        published = comparison(str(of.scope.key["dataset"]))
        printed = published.paper.largest if published else (np.nan, np.nan)
        key = {**of.scope.key, "kappa": of.rules.primary.kappa, "n": len(both)}
        for attack, paper in zip(ATTACKS, printed, strict=True):
            for when in WHEN:
                eps = frames.column(both, f"{attack}_{when}")
                mean = dict(zip(("linf", "low", "high"), stats.mean_interval(eps), strict=True))
                facts = {"of": attack, "retraining": when, "largest": float(eps.max())}
                lines.append(key | facts | mean | ({"paper": paper} if when == "after" else {}))
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def words(table: pd.DataFrame) -> str:
    """Write the table as Markdown, or an empty string."""
    if table.empty:
        return ""
    header = ["sweep", "ε of", "re-training", "targets", "mean · 255", "95 %", "largest · 255"]
    lines = [
        [
            f"{text.study(line)}: {line['attack']} κ {text.short(float(line['kappa']))}",
            str(line["of"]),
            str(line["retraining"]),
            str(line["n"]),
            text.number(255 * line["linf"]),
            f"{text.number(255 * line['low'])} to {text.number(255 * line['high'])}",
            text.number(255 * line["largest"]),
            text.number(255 * line["paper"]),
        ]
        for line in frames.lines(table)
    ]
    return (
        "\n## Largest perturbation, before and after re-training\n\n"
        "The smallest ε of PGD, and the smallest of IMC at half of Poisoning's mean KL on R, on "
        "the targets that both victims share. The paper prints one largest perturbation a data set "
        "and attack, without saying of what it is the largest or whether the model was poisoned "
        "before re-training. Here it is poisoned after; were it before, a model trained anew would "
        "keep nothing of the poison, and IMC would need what PGD needs.\n\n"
    ) + text.markdown([*header, "paper · 255"], lines, text_columns=3)
