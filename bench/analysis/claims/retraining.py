"""The room that re-training leaves: the least ε of IMC beside PGD's, before it and after it.

Poisoned after: the victim is trained anew on inputs made to deceive it, and everything is attacked
again. Poisoned before: such training starts from the weights that all training starts from, so that
nothing of the poison is left, and IMC is PGD under the same re-trained victim. A target's r is the
least share φ of its PGD radius at which IMC costs at most half the mean KL on R that its Poisoning
costs.
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
from evil_twins.bench.analysis.claims.tradeoff import crossing
from evil_twins.bench.analysis.paper import comparison
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.records import STUDY, read

Floats = NDArray[np.float64]
COLUMNS = [*STUDY, "attack", "layers", "kappa", "of", "retraining", "n"]
COLUMNS += ["linf", "low", "high", "largest", "paper"]
WHEN = ("before", "after")
ATTACKS = ("PGD", "IMC")
ANEW = (
    "r after is 1 by construction: a model trained anew keeps nothing of the poison, so that IMC "
    "is PGD; one that is trained on from its poisoned weights is not measured"
)


def with_retrained(found: Iterable[Evidence], results: Path, suite: str) -> Iterator[Evidence]:
    """The evidence of a suite, each sweep beside the same one against the victim re-trained.

    Args:
        found: Its evidence.
        results: Where the suite lies that the rules name for its re-trained victim, if it was run.
        suite: Its name.

    Raises:
        UserError: The records of that suite are damaged or of another version.
    """
    after = dict[tuple[Any, ...], Evidence]()
    for of in found:
        place = results / of.rules.claims["j"].retrained.get(suite, suite)
        if not after and place.name != suite and (place / "targets.parquet").exists():
            after = {_sweep(one): one for one in gather(read(place), of.rules)}
        yield replace(of, after=after.get(_sweep(of)))


def _sweep(of: Evidence) -> tuple[Any, ...]:
    """What two victims share that are attacked in one way."""
    return tuple(of.scope.key[name] for name in ("dataset", "seed", "attack", "layers"))


def room(of: Evidence) -> list[Part]:
    """Claim j, turned over: r before / r after lies above 1 where r after / r before lies below."""
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
    found = _gain(of, paired(of).assign(r_after=1.0))
    return found._replace(note=f"{found.note}; {ANEW}")


def _gain(of: Evidence, both: pd.DataFrame) -> Estimate:
    n, (before, after) = len(both), (np.log(frames.column(both, f"r_{one}")) for one in WHEN)
    samples: Floats = np.exp(of.draws(n) @ (before - after) / n)
    value = float(np.exp((before - after).mean()))
    low, high = (text.number(1 / end) for end in stats.percentile(value, samples)[:0:-1])
    first, second = (text.number(float(np.exp(one.mean()))) for one in (before, after))
    told = f"after / before {text.number(1 / value)} [{low}, {high}]"
    return Estimate(value, samples, n, f"r {first} → {second}, {told}{_unseen(of, both)}")


def _unseen(of: Evidence, both: pd.DataFrame) -> str:
    """How often the level of KL is met before the first φ above 0: that r is a guess, a line's."""
    least = min(phi for phi in of.rules.sweep.grid if phi > 0)
    below = [int((both[f"r_{one}"] < least).sum()) for one in WHEN]
    if not any(below):
        return ""
    return f"; below the least φ that was run, {text.short(least)}: {below[0]} → {below[1]} targets"


def paired(of: Evidence) -> pd.DataFrame:
    """One line per target that both victims share, by name and goal.

    Columns are r_before, r_after; PGD_before, PGD_after, its smallest ε in pixels of [0, 1]; and
    IMC_before, IMC_after, r times that.

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
    """Goal, r, and the least ε of PGD and of IMC, a line for each target at κ in every row."""
    share, kappa, grid = of.rules.claims["j"].share, of.rules.primary.kappa, of.rules.sweep.grid
    rows = [of.scope.row(kappa, phi) for phi in grid]
    names = of.reached(rows)
    kl = of.column(rows, names, "kl")
    if (kl[:, 0] <= 0).any():
        raise Unmeasured("Poisoning costs no KL: nothing to halve")
    at = np.array(grid)
    r = np.array([crossing(one / one[0], at, share) for one in kl])
    pgd = of.column(rows[-1:], names, of.rules.sweep.norm)[:, 0]
    goal = of.column(rows[:1], names, "goal")[:, 0]
    return pd.DataFrame({"goal": goal, "r": r, "PGD": pgd, "IMC": r * pgd}, index=names)


def largest(found: Sequence[Evidence]) -> pd.DataFrame:
    """The smallest ε that PGD and IMC need, before and after re-training, beside the paper's.

    `linf` is the mean over the n targets that both victims share, with its bootstrap interval,
    `largest` the largest of them, both in pixels of [0, 1]; `paper` is the largest perturbation
    that the paper prints after re-training.

    Args:
        found: Sweeps; those without records of the re-trained victim are left out.
    """
    lines = []
    for of in found:
        try:
            both = paired(of)
        except Unmeasured:
            continue
        known = comparison(str(of.scope.key["dataset"]))
        printed = known.paper.largest if known else (np.nan, np.nan)
        key = {**of.scope.key, "kappa": of.rules.primary.kappa, "n": len(both)}
        for attack, paper in zip(ATTACKS, printed, strict=True):
            for when in WHEN:
                eps = frames.column(both, f"{attack}_{when}")
                mean = dict(zip(("linf", "low", "high"), stats.mean_interval(eps), strict=True))
                own = {"of": attack, "retraining": when, "largest": float(eps.max())}
                lines.append(key | own | mean | ({"paper": paper} if when == "after" else {}))
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def words(table: pd.DataFrame) -> str:
    """The table as Markdown, or nothing."""
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
    ) + text.markdown([*header, "paper · 255"], lines, left=3)
