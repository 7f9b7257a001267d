"""Three sentences on what populations show: which detectors hold, which drop, which rank."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.generality.differences import (
    DIFFERENCES,
    DROPS,
    HOLDS,
    MARGIN,
    works,
)
from evil_twins.bench.analysis.generality.numbers import Numbers
from evil_twins.bench.analysis.generality.rankings import MEAN, RANKINGS
from evil_twins.bench.analysis.generality.rates import QUANTITIES
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES
from evil_twins.bench.analysis.tables.frames import lines

FALLS = 3
"""Number of falls that the second sentence names."""

LABELS = {"rate": "rate", "auroc": "AUROC"}
"""The quantities in words."""


def sentences(numbers: Numbers) -> list[str]:
    """Write three sentences: detectors that hold, the largest falls, the ranking."""
    return [_holding(numbers), _falls(numbers), _ranking(numbers)]


def _holding(numbers: Numbers) -> str:
    """Write which detectors that work at home hold, drop, or are undecided elsewhere."""
    home, fpr = numbers.home, numbers.gathered.fpr
    every = numbers.rates[numbers.rates["population"].eq(home.name)]
    working = works(numbers.rates, home.name, fpr)
    words = (
        f"At home ({home.name}: {home.title}) {len(working)} of {len(every)} pairs of detector and "
        f"family have a rate above {text.percent(fpr)} with their whole interval"
    )
    table = numbers.frames[DIFFERENCES.name]
    verdicts: dict[tuple[str, str], set[str]] = {}
    for line in lines(table[table["verdict"].ne("")]):
        verdicts.setdefault((str(line["detector"]), str(line["moves"])), set()).add(line["verdict"])
    if not verdicts:
        return f"{words}; elsewhere no interval over victims shows whether they hold."
    holding = [pair for pair, each in verdicts.items() if each == {HOLDS}]
    dropping = [pair for pair, each in verdicts.items() if DROPS in each]
    open_pairs = [pair for pair in verdicts if pair not in (*holding, *dropping)]
    words += (
        f". In the populations of several victims {_listed(dropping)} drop in at least one; "
        f"{_listed(holding)} hold in all (every interval is above a fall of {100 * MARGIN:g} "
        f"points); {_listed(open_pairs)} are undecided"
    )
    absent = len(working) - len(verdicts)
    return f"{words}; {absent} cannot be compared." if absent else f"{words}."


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    """Write the number of pairs of detector and family, and their names."""
    families: dict[str, list[str]] = {}
    for detector, moves in pairs:
        families.setdefault(detector, []).append(FAMILIES[moves])
    count = sum(map(len, families.values()))
    names = "; ".join(f"{name}: {', '.join(each)}" for name, each in families.items())
    return f"{count} ({names})" if count else "0"


def _falls(numbers: Numbers) -> str:
    """Write the largest fall of the rate of each of some detectors that work at home."""
    working = works(numbers.rates, numbers.home.name, numbers.gathered.fpr)
    table = numbers.frames[DIFFERENCES.name]
    pairs = pd.MultiIndex.from_frame(table[["moves", "detector"]])
    lower = table["quantity"].eq("rate") & table["difference"].lt(-text.ROUNDING)
    falls = table[lower & pairs.isin(sorted(working))]
    worst = falls.sort_values("difference", kind="stable").drop_duplicates("detector")
    if worst.empty:
        return "No rate of a detector that works at home is lower elsewhere."
    words = "; ".join(_fall(line) for line in lines(worst.head(FALLS)))
    return f"The largest falls of a rate from home, each detector once: {words}."


def _fall(line: dict[str, Any]) -> str:
    words = f"{line['detector']}, {FAMILIES[str(line['moves'])]}, from {points(line['home'])} to "
    words += f"{points(line['away'])} % in {line['population']}"
    if pd.isna(line["difference_low"]):
        return f"{words} (without an interval)"
    ends = " to ".join(points(line[f"difference_{end}"]) for end in ("low", "high"))
    return f"{words} (95 % interval of the difference {ends} points)"


def points(share: float) -> str:
    """Write a share in points of %, without decimals."""
    return f"{100 * share:z.0f}".replace("-", "−")


def _ranking(numbers: Numbers) -> str:
    """Write the mean τ of each family, by rate and by AUROC."""
    table = numbers.frames[RANKINGS.name]
    table = table[table["population"].eq(MEAN)]
    if table.empty:
        return "No two populations share enough detectors to compare their rankings."
    parts = []
    for moves, words in FAMILIES.items():
        cells = {line["quantity"]: line for line in lines(table[table["moves"].eq(moves)])}
        taus = [f"{_tau(cells[name])} by {LABELS[name]}" for name in QUANTITIES if name in cells]
        if taus:
            parts.append(f"{words} {' and '.join(taus)}")
    return (
        "The rankings of detectors in two populations agree with a mean Kendall's τ of: "
        f"{'; '.join(parts)} (1: the same ranking, 0: no relation)."
    )


def _tau(line: dict[str, Any]) -> str:
    return text.bracketed(line["tau"], line["tau_low"], line["tau_high"])
