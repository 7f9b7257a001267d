"""The Markdown tables."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.decisions import ALPHA
from evil_twins.bench.analysis.tables.records import STUDY, Records


def _studies(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for _, part in rows.groupby(STUDY, sort=True):
        yield text.study(frames.lines(part)[0]), part


def failures(records: Records) -> str:
    """The failed cells as a list, or a line that there are none."""
    if records.failures.empty:
        return "No cell failed.\n"
    lines = [
        "- " + text.one_line(f"{line['kind']} {line['cell']}: {line['reason']}") + "\n"
        for line in frames.lines(records.failures.sort_values(["kind", "cell"]))
    ]
    return f"{text.failed(len(lines))}:\n\n" + "".join(lines)


def _matrix(rows: pd.DataFrame, five: pd.DataFrame) -> str:
    cell = five.set_index(["row", "detector"])
    detectors = sorted(set(cell.index.get_level_values("detector")))
    lines = []
    for row in text.ordered(rows[rows.index.isin(five["row"])]):
        line = [text.name(frames.line(rows, row))]
        for detector in detectors:
            found = cell.loc[(row, detector)] if (row, detector) in cell.index else None
            line.append("" if found is None else text.rate(*_counts(found)))
        lines.append(line)
    return text.markdown(["attack", *detectors], lines)


def _counts(found: "pd.Series[float]") -> tuple[int, int, float, float]:
    return int(found["detected"]), int(found["n"]), float(found["low"]), float(found["high"])


def detection(records: Records, table: pd.DataFrame, worst: pd.DataFrame) -> str:
    """Attack by detector at the headline rate, then the worst case over attacks."""
    five = table[table["fpr_nominal"] == ALPHA]
    parts = [
        f"# Detection rate at a false-positive rate of {100 * ALPHA:g} %\n\n"
        "Each cell: flagged/targets, their share and its Clopper–Pearson 95 % interval, over all "
        "targets whether or not the attack reached κ. `any` is the OR of all detectors at the "
        "same total false-positive rate; half of the calibration images set its units, the other "
        "half its threshold.\n"
    ]
    for title, rows in _studies(records.rows):
        parts.append(f"\n## {title}\n\n" + _matrix(rows, five))
        if left := text.unscored(int((~rows.index.isin(five["row"])).sum())):
            parts.append(f"\n{left}: see [all attacks](attacks.md).\n")
    if len(worst):
        parts.append(
            "\n## Caught under every attack of the suite that reaches κ\n\n" + _worst(worst)
        )
    notes = five[five["note"] != ""]
    if len(notes):
        parts.append(f"\n{len(notes)} cells carry a note; see the column `note` of the CSV.\n")
    return "".join([*parts, "\n", failures(records)])


def _worst(worst: pd.DataFrame) -> str:
    lines = [
        [
            f"{text.study(line)}, κ {text.short(float(line['kappa']))}",
            str(line["detector"]),
            str(line["attacks"]),
            text.rate(line["caught"], line["n"], line["low"], line["high"]),
        ]
        for line in frames.lines(worst)
    ]
    return text.markdown(["study", "detector", "attacks", "caught"], lines, left=2)


def attacks(records: Records, table: pd.DataFrame) -> str:
    """Efficacy and costs of the attacks."""
    header = ["attack", "at κ", "confidence", "κ after 8 bits", "‖x* − x°‖∞ · 255", "δ"]
    header += ["disagreement ‰", "KL · 1000", "accuracy drop ‰", "rounds", "passes"]
    parts = [
        "# Attacks\n\nMeans over all targets; disagreement is pooled over targets × R with a "
        "crossed bootstrap interval (95 %).\n"
    ]
    for title, rows in _studies(records.rows):
        lines = [_attack(frames.line(table, row)) for row in text.ordered(rows)]
        parts.append(f"\n## {title}\n\n" + text.markdown(header, lines))
    return "".join([*parts, "\n", failures(records)])


def _attack(line: dict[str, Any]) -> list[str]:
    aimed = not pd.isna(line["kappa"])
    low, high = 1000 * line["specificity_low"], 1000 * line["specificity_high"]
    return [
        text.name(line),
        f"{line['at_kappa']:.0f}/{line['n']:.0f}" if aimed else "",
        f"{line['confidence_min']:.3f}–{line['confidence_max']:.3f}",
        f"{line['at_kappa_8bit']:.0f}/{line['at_kappa']:.0f}" if aimed else "",
        text.number(255 * line["linf"]),
        text.number(line["delta"]),
        f"{text.number(1000 * line['specificity'])} [{text.number(low)}, {text.number(high)}]",
        text.number(1000 * line["kl"]),
        text.number(1000 * line["accuracy_drop"]),
        text.number(line["rounds"]),
        text.number(line["passes"], 4),
    ]


def trends(table: pd.DataFrame) -> str:
    """Page's tests."""
    header = ["family", "along", "quantity", "expected", "targets", "levels", "first", "last"]
    lines = [
        [
            f"{text.study(line)}: " + text.name(line | {"phi": float("nan"), "lam": float("nan")}),
            str(line["along"]),
            str(line["quantity"]),
            str(line["direction"]),
            str(line["n"]),
            str(line["levels"]),
            text.number(line["first"]),
            text.number(line["last"]),
            text.p_value(line["p"]),
            text.p_value(line["p_holm"]),
        ]
        for line in frames.lines(table)
    ]
    table_text = text.markdown([*header, "p", "p (Holm)"], lines, left=4)
    return "# Trends along the sweeps (Page's test, endpoints included)\n\n" + table_text


def calibration(table: pd.DataFrame) -> str:
    """Realised false-positive rates, pooled over the rows for reading; tests are per row."""
    lines = []
    for (detector, nominal), part in table.groupby(["detector", "fpr_nominal"], sort=True):
        k, n = int(part["fpr_k"].sum()), int(part["fpr_n"].sum())
        rejected = int((part["fpr_p_holm"] < 0.05).sum())
        tested = int(part["fpr_p_holm"].notna().sum())
        share = text.number(k / n) if n else ""
        tied = int((part["ties"] > 1).sum())
        none = int((part["note"].str.contains("no threshold")).sum())
        counts = [f"{rejected}/{tested}", str(tied), str(none)]
        lines.append([str(detector), text.number(float(str(nominal))), f"{k}/{n}", share, *counts])
    header = ["detector", "nominal", "false alarms", "realised", "rejected (Holm)", "tied", "none"]
    return (
        "# Realised false-positive rates\n\n"
        "Summed over rows; `rejected` counts rows whose beta-binomial test rejects the nominal "
        "rate at 5 % after Holm's correction over detectors, `tied` rows with equal calibration "
        "scores at the threshold, `none` rows with too few scores for a threshold.\n\n"
    ) + text.markdown(header, lines)


def budgets(table: pd.DataFrame) -> str:
    """Confidence within fixed budgets."""
    header = ["grid", "φ", "model budget", "targets", "confidence", "95 %", "at κ"]
    lines = [
        [
            f"{text.study(line)}, κ {text.short(float(line['kappa']))}",
            text.short(float(line["phi"])),
            text.short(float(line["distance"])),
            str(line["n"]),
            text.number(line["confidence"]),
            f"{text.number(line['low'])} to {text.number(line['high'])}",
            str(line["at_kappa"]),
            text.number(255 * line["linf"]),
            text.number(line["delta"]),
            text.number(1000 * line["flipped"] / line["heldout"]) if line["heldout"] else "",
        ]
        for line in frames.lines(table)
    ]
    return (
        "# Confidence within fixed budgets\n\n"
        "Means over the targets that all points of a grid share. Budgets are shares of what "
        "reaches κ alone: the smallest PGD radius, and the shortest change of the head.\n\n"
    ) + text.markdown([*header, "‖x* − x°‖∞ · 255", "δ", "disagreement ‰"], lines)


def price(table: pd.DataFrame) -> str:
    """What attackers who know detectors pay beside those who do not."""
    header = ["attack", "against", "targets", "‖x* − x°‖∞ · 255", "disagreement ‰", "KL · 1000"]
    lines = [
        [
            text.name(line),
            str(line["against"]),
            str(line["n"]),
            *(
                "{} [{}, {}]".format(
                    *(f"{scale * line[loss + end]:z.2f}" for end in ("", "_low", "_high"))
                )
                for loss, scale in (("linf", 255), ("specificity", 1000), ("kl", 1000))
            ),
        ]
        for line in frames.lines(table)
    ]
    return (
        "# The price of evasion\n\n"
        "What an attack that knows detectors loses more than one that does not, at the same φ on "
        "the same targets, with 95 % intervals of the paired difference (disagreement: crossed "
        "over targets and images). Both reach κ: the one may go beyond it, the other ends there. "
        "Which detectors it evades, its label says.\n\n"
    ) + text.markdown(header, lines)


def audit(table: pd.DataFrame) -> str:
    """The endpoints against their rivals."""
    header = ["endpoint", "loss", "against", "targets", "median", "p90", "best for", "bound", ""]
    lines = [
        [
            f"{text.study(line)}: {line['attack']} κ {text.short(float(line['kappa']))}",
            str(line["quantity"]),
            str(line["against"]),
            str(line["n"]),
            text.number(line["median"], 4),
            text.number(line["p90"], 4),
            text.number(line["wins"]),
            text.number(line["bound"]),
            "" if pd.isna(line["bound"]) else ("passed" if line["passed"] else "failed"),
        ]
        for line in frames.lines(table)
    ]
    gap = table["duality_gap"].max()
    note = "" if pd.isna(gap) else f" Relative duality gap of the optimum: {text.number(gap)}."
    return (
        "# Audit of the endpoints\n\n"
        "Loss of a pure attack over that of a rival, target by target: PGD's radius against other "
        "attacks on inputs and the best of them, the KL of each attack on the last layer "
        "alone, on the attacker's images, against the convex optimum. The median is held against "
        f"the bound, where there is one.{note}\n\n"
    ) + text.markdown(header, lines, left=3)
