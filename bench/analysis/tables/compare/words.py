"""Write a comparison of detectors for people."""

from collections.abc import Iterator
from itertools import groupby
from math import isnan
from typing import Any

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.compare.detector import Numbers, Selection
from evil_twins.bench.analysis.tables.compare.differences import (
    KS,
    KS_OF_ONE,
    Cell,
    by_rate,
    written,
)
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES
from evil_twins.bench.analysis.tables.compare.pairs import NAMES
from evil_twins.bench.analysis.tables.detection import STRICT
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, numbered, populations
from evil_twins.bench.analysis.tables.victim_differences import CORRECTION, LEVEL, floor


def words(numbers: Numbers) -> str:
    """Write each new detector under every attack, and compared with the others."""
    names = ", ".join(numbers.selection.labels)
    blocks = [f"# {names} compared with other detectors\n\n", _introduction(numbers)]
    blocks += _missing(numbers)
    blocks.append(_overview(numbers))
    blocks += _groups(numbers)
    blocks.append(_legend(numbers))
    blocks += _ranks(numbers)
    blocks += _each(numbers)
    return "".join([*blocks, text.failures(numbers.analysis.records)])


def _introduction(numbers: Numbers) -> str:
    fpr = text.percent(numbers.analysis.fpr)
    ((title, _, _),) = populations(numbers.analysis.records.rows)
    targets = "Targets are those of all victims. " if numbers.several else ""
    return (
        f"{title}. Thresholds come from benign scores under the faced models, at a "
        f"false-positive rate (FPR) of {fpr}. {targets}In brackets 95 % intervals "
        f"{MEAN if numbers.several else MODEL}.\n"
    )


def _missing(numbers: Numbers) -> Iterator[str]:
    """Yield what is not compared: detectors without scores, attacks that a detector lacks."""
    if empty := numbers.shared.empty:
        yield f"\nNo scores, so not compared: {', '.join(empty)}.\n"
    if absent := numbers.shared.absent:
        listed = "; ".join(f"{title} ({', '.join(names)})" for title, names in absent.items())
        yield (
            "\nThe comparison is on the attacks and victims that all detectors here have. Skipped, "
            f"for every victim or for some, with the detectors that lack it: {listed}.\n"
        )


def _overview(numbers: Numbers) -> str:
    """Count the groups of attacks in which a new detector flags more or fewer than another."""
    body = []
    for (name, other), pairs in numbers.tables["paired"].groupby(NAMES, sort=False):
        sure = pairs["p_corrected"].lt(LEVEL)
        counts = (sure & pairs["difference"].gt(0), sure & pairs["difference"].lt(0), ~sure)
        body.append([str(name), str(other), *(str(int(count.sum())) for count in counts)])
    header = ["detector", "compared with", "more", "fewer", "not distinguished"]
    return f"\n## Overview\n\n{text.markdown(header, body, 2)}"


def _groups(numbers: Numbers) -> Iterator[str]:
    """Yield a section for each κ: rates, AUROC and differences in each group of attacks."""
    selection, table = numbers.selection, numbers.tables["rates"]
    gaps = _differences(numbers)
    for kappa in sorted(table["kappa"].unique(), key=lambda kappa: (pd.isna(kappa), kappa)):
        same = table["kappa"].isna() if pd.isna(kappa) else table["kappa"].eq(kappa)
        level = "" if pd.isna(kappa) else f", κ {text.level(float(kappa))}"
        yield f"\n## Per {selection.per}{level}\n\n"
        body = []
        cells = lines(in_reading_order(table[same], selection))
        for title, group in groupby(cells, lambda cell: _title(numbers, cell)):
            for place, cell in enumerate(group):
                key = _key(numbers, cell), cell["detector"]
                against = [gaps.get((*key, name), "") for name in selection.labels]
                body.append(["" if place else title, *_rates(cell), *against])
        columns = [f"{name} minus it" for name in selection.labels]
        yield text.markdown(["attacks", "detector", "flagged", "AUROC", *columns], body, 2)


def in_reading_order(table: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Sort lines of "rates" by group, as attacks are listed elsewhere, then by detector."""
    order = {name: place for place, name in enumerate(selection.names)}
    sorting: dict[str, pd.Series[Any]] = {"_kappa": table["kappa"]}
    sorting["_place"] = table["detector"].map(order)
    if "phi" in table.columns:  # rows that have no budget are in the middle
        sorting |= {"_phi": table["phi"].fillna(0.5), "_attack": table["attack"] + table["layers"]}
    elif "moves" in table.columns:
        sorting |= {"_moves": table["moves"].map(list(FAMILIES).index)}
    places = sorted(sorting, key=lambda name: name == "_place")  # the detector is the last key
    return table.assign(**sorting).sort_values(places).drop(columns=list(sorting))


def _title(numbers: Numbers, cell: Cell) -> str:
    """Write the group of a line in a section of one κ."""
    return numbers.selection.groups.title(cell | {"kappa": float("nan")})


def _key(numbers: Numbers, line: Cell) -> tuple[str, ...]:
    """Return the group of a line; texts are equal where numbers are NaN."""
    return tuple(str(line[name]) for name in numbers.selection.groups.keys)


def _rates(cell: Cell) -> list[str]:
    area = text.interval(cell, "auroc", digits=2)
    if isnan(cell["auroc_low"]):
        area = text.number(cell["auroc"], 2)
    rate = f"{cell['rate']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"
    return [str(cell["detector"]), rate, area]


def _differences(numbers: Numbers) -> dict[tuple[object, ...], str]:
    """Write the differences, by group, the other detector and the new one."""
    return {
        (_key(numbers, line), line["against"], line["detector"]): _difference(line)
        for line in lines(numbers.tables["paired"])
    }


def _difference(line: Cell) -> str:
    """Write a difference and its p, and the number of victims that it would take.

    The number is only there if the difference is not significant, even without correction.
    """
    words = f"{text.difference(line)}, p {text.p_value(line['p_corrected'])}"
    if line["p"] < LEVEL or isnan(line["needed"]):
        return words
    return f"{words}, n {_needed(line['needed'])}"


def _needed(victims: float) -> str:
    most = stats.MOST_VICTIMS
    return f"> {most}" if victims > most else f"≈ {victims:.0f}"


def _legend(numbers: Numbers) -> str:
    """Explain the tables of groups."""
    names = ", ".join(numbers.selection.labels)
    rule = numbers.selection.groups.rule
    start = f"\nFlagged: {rule}. Controls are no attacks. "
    if not numbers.several:
        return (
            f"{start}Difference: {names} minus the other on the same targets, with Tango's 95 % "
            "interval and McNemar's exact test; where a target has a share of several attacks, "
            "with Student's t and sign flips over targets. p: corrected over all pairs here under "
            "the same attacks.\n"
        )
    least = numbers.tables["paired"]["p_least"].dropna()
    return (
        f"{start}Rates have the interval of Korn and Graubard, AUROC is a mean over victims with "
        f"Student's t. Difference: {names} minus the other on the same targets within each victim, "
        f"then the mean over victims; its interval, of Student's t, holds {MEAN} and is not "
        "corrected; there is none where all victims have the same difference. p: signs flip by "
        f"victim, corrected over all pairs here under the same attacks, {CORRECTION}. "
        f"{floor(float(least.min())) if len(least) else ''} Two detectors with p of {LEVEL:g} or "
        "more cannot be distinguished with these victims. n: it would take about so many victims "
        "to find a difference as large as this one in four of five studies (paired t test of this "
        f"pair only, two-sided, {LEVEL:g}, variance between victims as measured here).\n"
    )


def _ranks(numbers: Numbers) -> Iterator[str]:
    """Yield the mean ranks over victims for each κ."""
    table = numbers.tables.get("ranks", pd.DataFrame())
    if table.empty:
        return
    yield (
        "\n## Ranks over victims\n\nIn each victim the detectors are ranked by the mean of their "
        "rates above; 1 is the highest. Two differ if their mean ranks are further apart than the "
        "critical difference (Nemenyi's test; Demsar 2006).\n"
    )
    for kappa, ranks in table.groupby("kappa", sort=True):
        facts = lines(ranks)[0]
        friedman = text.p_value(facts["p_friedman"])
        test = f", Friedman's test of no difference: p {friedman}" if friedman else ""
        yield (
            f"\nκ {text.level(float(str(kappa)))}, {facts['victims']} victims: critical difference "
            f"{text.number(facts['critical_difference'])}{test}.\n\n"
        )
        body = [
            [str(line["detector"]), *(f"{line[name]:.2f}" for name in ("mean_rank", "mean_rate"))]
            for line in lines(ranks.sort_values(["mean_rank", "detector"]))
        ]
        yield text.markdown(["detector", "mean rank", "mean rate"], body)


def _each(numbers: Numbers) -> Iterator[str]:
    """Yield each new detector under every attack and control, with its costs."""
    records, several = numbers.analysis.records, numbers.several
    table = numbers.tables["population" if several else "compare"]
    for name in numbers.selection.labels:
        cells = table[table["detector"] == name]
        if cells.empty:
            continue
        rows = records.rows
        if several:
            ((_, _, rows),) = populations(rows)
        cells = numbered(rows, cells) if several else records.numbered(cells)
        knowledge = cells["knowledge"].iloc[0]
        yield f"\n## {name} ({knowledge}) under each attack\n\n"
        yield matrix(rows, cells, numbers.analysis.fpr, KS if several else KS_OF_ONE)
    yield (
        "\nAttacker's success: at κ, within ε and not flagged. KS compares attacked and benign "
        "scores at equal n. Realised FPR: of the other benign images. Milliseconds are those of "
        "whole score cells, fits included. The numbers of each victim are in `compare.csv`.\n\n"
    )


def matrix(rows: pd.DataFrame, table: pd.DataFrame, fpr: float, separation: str) -> str:
    """Write a new detector under each attack, with its costs.

    Args:
        rows: Rows of the records.
        table: Its lines with `row`, of one victim or over victims, at the strict rate and at `fpr`.
        fpr: The nominal false-positive rate.
        separation: The heading of KS.
    """
    flagged = [f"flagged, FPR {text.percent(rate)}" for rate in (fpr, STRICT)]
    header = ["attack", "at κ", flagged[0], "realised FPR", flagged[1]]
    header += ["success", "AUROC", separation, "ms per input"]
    cells = by_rate(table, "row")
    body = []
    for row in text.ordered(rows):
        if row in cells:
            cell = cells[row][fpr]
            words = written(cell, cells[row][STRICT])
            names = ("at κ", "flagged", "realised", "strict", "success", "AUROC", "KS")
            seconds = text.number(1000 * float(cell["seconds_per_input"]), 2)
            body.append([text.name(cell), *(words[name] for name in names), seconds])
    return text.markdown(header, body)
