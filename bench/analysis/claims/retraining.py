"""Claim j: re-training leaves less room to IMC than to PGD.

The victim is re-trained on adversarial inputs, from new weights (anew) or from its own (on), and
everything is attacked again. A target's r is the least share φ of its PGD radius at which IMC costs
at most half the mean KL on R of its Poisoning.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Excluded, Unmeasured, bootstrapped
from evil_twins.bench.analysis.claims.rules import Efficacy, Rules
from evil_twins.bench.analysis.claims.statistic import Statistic, by_victim
from evil_twins.bench.analysis.claims.tradeoff import crossing
from evil_twins.bench.analysis.paper import comparison
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.records import STUDY, is_same

Floats = NDArray[np.float64]
COLUMNS = [*STUDY, "attack", "layers", "kappa", "form", "of", "retraining", "n"]
COLUMNS += ["linf", "low", "high", "largest", "paper"]
WHEN = ("before", "after")
ATTACKS = ("PGD", "IMC")
FORMS = {"anew": "trained anew", "on": "trained on"}
"""Forms of re-training, in words."""


def room(rules: Rules, efficacy: Efficacy) -> list[Statistic]:
    """Return the statistics of claim j, one for each form of re-training."""
    margin = rules.claims["j"].margins["log_ratio"]
    return [
        Statistic(f"log(r before / r after), {words}", margin, by_victim(partial(_gain, form)))
        for form, words in FORMS.items()
    ]


def _gain(form: str, of: Evidence) -> Estimate:
    both = paired(of, form)
    n, (before, after) = len(both), (np.log(frames.column(both, f"r_{when}")) for when in WHEN)
    value, samples = float((before - after).mean()), of.draws(n) @ (before - after) / n
    first, second = (text.number(float(np.exp(logs.mean()))) for logs in (before, after))
    ratio = f"after / before {text.number(float(np.exp(-value)))}"
    return bootstrapped(value, samples, n, f"r {first} → {second}, {ratio}{_below(of, both)}")


def _below(of: Evidence, both: pd.DataFrame) -> str:
    """Count the targets whose r lies below the first φ above 0, where it is interpolated."""
    least = min(phi for phi in of.rules.sweep.grid if phi > 0)
    below = [int((both[f"r_{when}"] < least).sum()) for when in WHEN]
    if not any(below):
        return ""
    return f"; below the least φ that was run, {text.short(least)}: {below[0]} → {below[1]} targets"


def paired(of: Evidence, form: str) -> pd.DataFrame:
    """Pair the targets of a victim and its re-trained one by name, content and goal, one a line.

    Columns are r_before, r_after; PGD_before, PGD_after, the smallest ε of PGD in pixels of [0, 1];
    IMC_before, IMC_after, r times that ε.

    Raises:
        Excluded: There are no records of the re-trained victim.
        Unmeasured: There are not those of every level.
    """
    if form not in of.after:
        raise Excluded(f"no records of a victim {FORMS[form]}")
    try:
        after = _rooms(of.after[form]).add_suffix("_after")
    except Unmeasured as missing:
        raise Unmeasured(f"after re-training {missing}") from missing
    both = _rooms(of).add_suffix("_before").join(after, how="inner")
    both = both[both["goal_before"] == both["goal_after"]]
    both = both[is_same(both["content_before"], both["content_after"])]
    if both.empty:
        raise Unmeasured("no target is at κ in every row of both victims")
    return both


def _rooms(of: Evidence) -> pd.DataFrame:
    """Return facts of each target that is at κ in every row: r, and the least ε of PGD and IMC."""
    share, kappa, grid = of.rules.claims["j"].share, of.kappa, of.rules.sweep.grid
    rows = [of.scope.row(kappa, phi) for phi in grid]
    names = of.reached(rows)
    kl = of.column(rows, names, "kl")
    if (kl[:, 0] <= 0).any():
        raise Unmeasured("Poisoning costs no KL: nothing to halve")
    at = np.array(grid)
    r = np.array([crossing(losses / losses[0], at, share) for losses in kl])
    pgd = of.column(rows[-1:], names, of.rules.sweep.norm)[:, 0]
    facts = of.targets(rows[:1]).set_index("target_id").loc[names, ["goal", "content"]]
    return facts.assign(r=r, PGD=pgd, IMC=r * pgd)


def largest(victims: Sequence[Evidence]) -> pd.DataFrame:
    """Return the smallest ε of PGD and IMC, before and after re-training, with that of the paper.

    `linf` is the mean over the n targets of both victims, with its bootstrap interval, `largest`
    their maximum, both in pixels of [0, 1]; `paper` is the largest perturbation that the paper
    prints after re-training. Victims without records of the re-trained one are skipped.
    """
    pairs = [(of, form) for of in victims for form in FORMS]
    lines = [line for of, form in pairs for line in _largest(of, form)]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS))


def _largest(of: Evidence, form: str) -> Iterator[dict[str, Any]]:
    try:
        both = paired(of, form)
    except Unmeasured:
        return
    published = comparison(str(of.scope.key["dataset"]))
    printed = published.paper.largest if published else (np.nan, np.nan)
    key = {**of.scope.key, "kappa": of.kappa, "form": form, "n": len(both)}
    for attack, paper in zip(ATTACKS, printed, strict=True):
        for when in WHEN:
            eps = frames.column(both, f"{attack}_{when}")
            mean = dict(zip(("linf", "low", "high"), stats.mean_interval(eps), strict=True))
            facts = {"of": attack, "retraining": when, "largest": float(eps.max())}
            yield key | facts | mean | ({"paper": paper} if when == "after" else {})


def words(table: pd.DataFrame) -> str:
    """Write the table as Markdown, or an empty string."""
    if table.empty:
        return ""
    header = [
        "sweep",
        "form",
        "ε of",
        "re-training",
        "targets",
        "mean · 255",
        "95 %",
        "largest · 255",
    ]
    lines = [
        [
            f"{text.study(line)}: {line['attack']} κ {text.level(float(line['kappa']))}",
            FORMS[str(line["form"])],
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
        "before re-training. Here it is poisoned after.\n\n"
    ) + text.markdown(header, lines, text_columns=4)
