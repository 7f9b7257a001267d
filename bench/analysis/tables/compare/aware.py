"""New detectors under an attacker who knows them, compared with the same attack that knows none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isnan
from typing import Any

import numpy as np

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare.differences import Tables
from evil_twins.bench.analysis.tables.decisions import Cell
from evil_twins.bench.analysis.tables.frames import column, ends, frame, lines, spread
from evil_twins.bench.analysis.tables.population import pooled
from evil_twins.bench.analysis.tables.price import AWARE, LOSSES, PRICE
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, recipe

COLUMNS = ["detector", "knowledge", "penalty", "attack", "against", "layers", "kappa", "phi"]
COLUMNS += ["victims", "n", "targets", "at_kappa", "at_kappa_other"]
COLUMNS += " ".join(map(ends, ("stopped", "stopped_other", "difference", *LOSSES))).split()
COLUMNS += ["verdict"]

FALLS, HOLDS, PARTLY = "falls", "holds", "holds in part"
IDLE, UNDECIDED = "no evasion needed", "undecided"

Sides = tuple[Cell, Cell]
"""A detector on the same targets of a victim: the attacker knows it, the attacker knows none."""


def tables(analysis: Analysis, penalties: Mapping[str, str], targets: int) -> Tables:
    """Return "aware": one line for each detector.

    Args:
        analysis: The numbers of the attacks that know a detector, and of the one that knows none.
        penalties: Detector -> the kind of its penalty.
        targets: Number of targets that the attack that knows none has in all.
    """
    body = []
    for name, penalty in penalties.items():
        if sides := _sides(analysis, name):
            facts = {"detector": name, "penalty": penalty, "targets": targets}
            body.append(facts | _line(analysis, sides))
    return {"aware": frame(body, COLUMNS)}


def _sides(analysis: Analysis, name: str) -> list[Sides]:
    """Return both sides of each victim that has them."""
    rows = analysis.records.rows
    cells: dict[bool, dict[int, Cell]] = {True: {}, False: {}}
    for (row, detector), cell in analysis.cells.items():
        if detector == name:
            cells[str(rows.at[row, "method"]) == AWARE][int(str(rows.at[row, "seed"]))] = cell
    seeds = sorted(cells[True].keys() & cells[False].keys())
    pairs = ((cells[True][seed], cells[False][seed]) for seed in seeds)
    return [(_stopped(first, first), _stopped(second, first)) for first, second in pairs]


def _stopped(cell: Cell, other: Cell) -> Cell:
    """Return a cell on the targets of another, with κ and ε as a part of the decision.

    The score of an input that is short of κ, or beyond ε, is above every threshold.
    """
    same = np.isin(cell.target_id.astype(str), other.target_id.astype(str))
    reached = (cell.at_kappa & cell.within_eps)[same]
    names = ("target_id", "confidence", "at_kappa", "within_eps")
    return replace(
        cell,
        score=np.where(reached, cell.score[same], np.inf),
        clusters=None if cell.clusters is None else cell.clusters[same],
        **{name: getattr(cell, name)[same] for name in names},
    )


def _line(analysis: Analysis, sides: Sequence[Sides]) -> dict[str, Any]:
    """Return the numbers of a detector over the victims that have both sides."""
    aware, other = zip(*sides, strict=True)
    row, against = (lines(analysis.records.rows.loc[[side[0].row]])[0] for side in (aware, other))
    facts = {name: row[name] for name in ("attack", "layers", "kappa", "phi")}
    rates = {
        "stopped": _rate(aware, analysis.fpr),
        "stopped_other": _rate(other, analysis.fpr),
        "difference": _difference(sides, analysis.fpr),
        **_extra_losses(analysis, row["attack"]),
    }
    numbers = {key: value for name in rates for key, value in spread(name, rates[name]).items()}
    return {
        **facts,
        "against": against["attack"],
        "knowledge": aware[0].knowledge,
        "victims": len(sides),
        "n": sum(len(cell.score) for cell in aware),
        "at_kappa": int(sum(cell.at_kappa.sum() for cell in aware)),
        "at_kappa_other": int(sum(cell.at_kappa.sum() for cell in other)),
        **numbers,
        "verdict": verdict(numbers, analysis.fpr),
    }


def _flags(cell: Cell, fpr: float) -> stats.Bools:
    return cell.score > cell.threshold(fpr).value


def _rate(cells: Sequence[Cell], fpr: float) -> stats.Interval:
    """Return the share stopped, with the interval of one victim or over victims."""
    if len(cells) == 1:
        return cells[0].rate(fpr)
    counts = [(_flags(cell, fpr).sum(), len(cell.score), cell.models) for cell in cells]
    over = pooled(*np.array(counts, dtype=float).T)
    return stats.Interval(over["rate"], over["low"], over["high"])


def _difference(sides: Sequence[Sides], fpr: float) -> stats.Interval:
    """Return the share stopped of the first side less that of the second."""
    flags = [(_flags(first, fpr), _flags(second, fpr)) for first, second in sides]
    if len(flags) == 1:
        return stats.paired_difference(*flags[0], sides[0][0].clusters)
    return _mean(np.array([first.mean() - second.mean() for first, second in flags]))


def _mean(values: stats.Floats) -> stats.Interval:
    """Return the mean over victims, without an interval where all have the same value."""
    value, low, high = stats.mean_over_victims(values)
    nothing = np.ptp(values) == 0
    return stats.Interval(value, *((np.nan, np.nan) if nothing else (low, high)))


def _extra_losses(analysis: Analysis, attack: str) -> dict[str, stats.Interval]:
    """Return the extra losses, as in the table of their name."""
    table = analysis.table(PRICE)
    table = table[table["attack"].eq(attack)]
    if len(table) > 1:
        return {name: _mean(column(table, name)) for name in LOSSES}
    if table.empty:
        return dict.fromkeys(LOSSES, stats.UNKNOWN)
    (line,) = lines(table)
    return {name: stats.Interval(*(line[end] for end in ends(name).split())) for name in LOSSES}


def verdict(numbers: Mapping[str, float], fpr: float) -> str:
    """Judge a detector by the 95 % intervals of the shares that it stops.

    Args:
        numbers: `ends` of "stopped", "stopped_other" and "difference".
        fpr: The nominal false-positive rate.

    Returns:
        One of the five words.
    """
    low, high = numbers["stopped_low"], numbers["stopped_high"]
    if not numbers["stopped_other_low"] > fpr:
        return IDLE
    change = numbers["difference_high"]
    lost = numbers["difference"] < 0 if isnan(change) else change < 0
    if low <= fpr:
        return FALLS if lost and high < numbers["stopped_other"] else UNDECIDED
    return PARTLY if lost else HOLDS


def words(analysis: Analysis, tables: Tables) -> str:
    """Write each new detector under the attacker who knows it."""
    table, fpr = tables["aware"], text.percent(analysis.fpr)
    body = lines(table)
    names = ", ".join(line["detector"] for line in body)
    blocks = [f"# {names} against an attacker who knows it\n\n"]
    if body:
        blocks += [_introduction(analysis, body), "\n", _table(body), "\n"]
        blocks += [f"- {_sentence(line, fpr)}\n" for line in body]
        blocks.append(_legend(body[0], fpr))
    return "".join([*blocks, text.failures(analysis.records)])


def _introduction(analysis: Analysis, body: Sequence[dict[str, Any]]) -> str:
    row, first = lines(analysis.records.rows)[0], body[0]
    several = first["victims"] > 1
    title = recipe(row | {"victims": first["victims"]}) if several else text.study(row)
    most = max(line["n"] for line in body)
    return (
        f"{title}. {most} of {first['targets']} targets, as many as take about a minute of a "
        f"processor for each detector. In brackets 95 % intervals {MEAN if several else MODEL}.\n"
    )


def _table(body: Sequence[dict[str, Any]]) -> str:
    header = ["detector", "followed by", "targets", "at κ", "stopped, knows nothing"]
    header += ["stopped, knows it", "difference", "‖x* − x°‖∞ · 255", "disagreement ‰", "KL · 1000"]
    return text.markdown(
        header,
        [
            [
                *(str(line[name]) for name in ("detector", "penalty", "n", "at_kappa")),
                *(_bracketed(line, name) for name in ("stopped_other", "stopped")),
                text.difference(line),
                *(_bracketed(line, name, scale) for name, scale in LOSSES.items()),
            ]
            for line in body
        ],
        2,
    )


def _bracketed(line: Mapping[str, Any], name: str, scale: float = 1) -> str:
    return text.bracketed(*(scale * line[end] for end in ends(name).split()))


def _sentence(line: Mapping[str, Any], fpr: str) -> str:
    """Write the verdict on a detector as a sentence."""
    aware, other = _bracketed(line, "stopped"), _bracketed(line, "stopped_other")
    less = "" if isnan(line["difference"]) else f"{text.difference(line)}"
    sentences = {
        FALLS: f"falls: it stops {aware} of the attacks that know it, which cannot be "
        f"distinguished from false alarms ({fpr}), and {other} of those that know nothing.",
        PARTLY: f"holds in part: it stops {aware} of the attacks that know it, more than its false "
        f"alarms ({fpr}), but fewer than of those that know nothing ({less}).",
        HOLDS: f"holds: it stops {aware} of the attacks that know it, more than its false alarms "
        f"({fpr}), and no loss is seen ({less}).",
        IDLE: f"need not be evaded: it stops {other} of the attacks that know nothing, which "
        f"cannot be distinguished from false alarms ({fpr}).",
        UNDECIDED: f"cannot be judged with these targets: it stops {aware} of the attacks that "
        f"know it, {other} of the others, and false alarms are {fpr}.",
    }
    return f"**{line['detector']}** {sentences[line['verdict']]}"


def _legend(line: Mapping[str, Any], fpr: str) -> str:
    row = {**line, "attack": line["against"], "lam": np.nan}
    return (
        f"\nBoth attacks are {text.name(row)}, on the same targets; one also keeps the score below "
        f"those of benign images. Stopped: flagged at a false-positive rate of {fpr}, short of κ "
        "or beyond ε. The last three columns are the extra losses of the "
        "attack that knows the detector. It follows the detector's "
        "own penalty, the gradient of its score, or finite differences of its score. A detector "
        "that holds against the last two may fall to an attacker with a better penalty.\n\n"
    )
