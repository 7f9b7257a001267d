"""The table of controls in words: the rest of the signal under each control, then the numbers."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.paper import KAPPA
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.controls import line as reading
from evil_twins.bench.analysis.tables.controls.confidence import NEAR
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import KEYS, STUDY

Line = dict[str, Any]
Section = Callable[[pd.DataFrame, str], str]


def words(table: pd.DataFrame, fpr: float) -> str:
    """Write all controls of a suite; a control that was not run has no section.

    Args:
        table: The table of controls.
        fpr: The nominal false-positive rate.
    """
    blocks = [
        "# Controls that explain\n\n"
        "The rest of a signal when its simplest cause is held equal. A rate is a count with "
        "its Clopper–Pearson 95 % interval, a difference a paired bootstrap over targets. Both "
        "hold for this model only.\n"
    ]
    several = len(table[STUDY].drop_duplicates()) > 1
    for study, rows in text.studies(table):
        for name, (title, section) in _SECTIONS.items():
            group = rows[rows["control"] == name]
            if len(group):
                head = f"{title}: {study}" if several else title
                blocks.append(f"\n## {head}\n\n{section(group, text.percent(fpr))}")
    return "".join(blocks)


def _shown(table: pd.DataFrame) -> float:
    """Return the κ that is printed in full: the paper's, or the lowest that was run."""
    kappas = sorted(float(kappa) for kappa in set(table["kappa"]))
    return KAPPA if KAPPA in kappas else kappas[0]


def _pair(line: Line, stem: str) -> str:
    n = int(line[f"{stem}n"])
    return text.rate(round(line[f"{stem}value"] * n), n, line[f"{stem}low"], line[f"{stem}high"])


def _counts(table: pd.DataFrame) -> str:
    """Count readings, a sentence per detector; detectors without a signal share one."""
    verbs = {reading.STAYS: "stays", reading.GONE: "**vanishes**", reading.OPEN: "is undecided"}
    sentences, silent = [], []
    for name, rows in table.groupby("detector", sort=True):
        counts = rows["reading"].value_counts()
        signals = len(rows) - int(counts.get(reading.NONE, 0))
        if not signals:
            silent.append(str(name))
            continue
        readings = ", ".join(f"{verbs[key]} in {counts[key]}" for key in verbs if key in counts)
        sentences.append(f"- {name}: a signal in {signals} of {len(rows)} rows; it {readings}.\n")
    if silent:
        sentences.append(f"- No signal that a control could explain: {', '.join(silent)}.\n")
    return "".join(sentences) + "\n"


def _confidence(table: pd.DataFrame, fpr: str) -> str:
    names = sorted(set(table["detector"]))
    shown = table[table["kappa"].eq(_shown(table)) & table["lam"].isna()]
    body = []
    for _, rows in shown.groupby(KEYS, sort=False, dropna=False):
        cells = {line["detector"]: _matched(line) for line in lines(rows)}
        first = lines(rows)[0]
        place = [text.name(first), text.number(first["gap"], 2)]
        body.append([*place, *(cells.get(name, "") for name in names)])
    return (
        "KS of attacked against benign scores under the same faced models → against the benign "
        "inputs of nearest confidence; in brackets the 95th percentile of the null at equal n. "
        "A KS above it is a signal. Matched, it vanishes within its null (a poor match would leave "
        "more of it, not less), stays above it if the confidences are at most "
        f"{text.short(NEAR)} apart in the median, and is undecided where benign inputs of such "
        f"confidence are lacking.\n\n{_counts(table)}"
    ) + text.markdown(["attack", "confidences apart", *names], body)


def _matched(line: Line) -> str:
    pair = f"{line['value']:.2f} → {line['control_value']:.2f} ({line['control_null95']:.2f})"
    return f"{pair} {line['reading']}"


def _twins(attack: str, control: str) -> Section:
    def section(table: pd.DataFrame, fpr: str) -> str:
        body = [
            [
                text.name(line),
                str(line["detector"]),
                *(_pair(line, stem) for stem in ("", "control_")),
                text.difference(line),
                text.p_value(line["p_holm"]),
                str(line["reading"]),
            ]
            for line in lines(table[table["reading"] != reading.NONE])
        ]
        header = ["attack", "detector", attack, control, "difference", "p (Holm)", "signal"]
        return (
            f"Flagged at a false-positive rate of {fpr} under {attack} and under "
            f"{control}, on the same targets. A rate whose interval lies above the nominal one is "
            "a signal: only these are listed. It stays where McNemar's test separates it from the "
            "control at 5 %, Holm-corrected over detectors; it vanishes where the interval of the "
            "difference holds 0 and at most half of the excess over the nominal rate is left.\n\n"
            f"{_counts(table)}"
        ) + text.markdown(header, body, text_columns=2)

    return section


def _endpoints(table: pd.DataFrame, fpr: str) -> str:
    body, sentences = [], []
    for line in lines(table):
        loose, tight = line["value"], line["control_value"]
        body.append(
            [
                text.name(line),
                str(line["against"]),
                str(int(line["n"])),
                text.bracketed(loose, line["low"], line["high"]),
                text.bracketed(tight, line["control_low"], line["control_high"]),
                text.difference(line),
                f"{(loose - tight) / loose:.0%}" if loose > 0 else "",
                str(line["reading"]),
            ]
        )
    for name, rows in table.groupby("against", sort=True):
        proven = int((rows["difference_low"] > 0).sum())
        gone = int((rows["reading"] == reading.GONE).sum())
        slack, whole = (float(rows[column].mean()) for column in ("difference", "value"))
        sentences.append(
            f"- {name} loose: mean leverage {whole:.2f}, of which {slack:+.2f} is slack. The "
            f"interval of the slack lies above 0 in {proven} of {len(rows)} rows; with tight rows "
            f"the leverage {'**vanishes**' if gone else 'vanishes'} in {gone}.\n"
        )
    header = ["attack", "loose", "targets", "leverage, loose", "leverage, tight", "slack", "share"]
    return (
        "The leverage 1 − fidelity − specificity, both over the losses of the pure attacks, with "
        "rows that stop at their first iterate at κ, as the paper's attacks do, in place of tight "
        "ones. Slack: the difference, on the same targets and bootstrap samples (crossed over "
        "targets × R).\n\n" + "".join(sentences) + "\n"
    ) + text.markdown([*header, "leverage"], body, text_columns=2)


def _calibration(table: pd.DataFrame, fpr: str) -> str:
    keys = ["attack", "layers", "kappa", "phi", "lam", "detector"]
    alarms, rates = (table[table["quantity"] == name] for name in ("fpr", "rate"))
    joined = alarms.merge(rates[[*keys, *_COUNTED]], on=keys, suffixes=("", "_caught"))
    shown = joined[joined["phi"].eq(0) & joined["kappa"].eq(_shown(table))]
    body = []
    for line in lines(shown):
        caught = {name: line[f"{name}_caught"] for name in _COUNTED}
        cells = [_pair(counts, side) for counts in (line, caught) for side in ("", "control_")]
        body.append([text.name(line), str(line["detector"]), *cells])
    header = ["attack", "detector", "false alarms, victim", "false alarms, faced"]
    return (
        "Thresholds from benign scores of the victim, as the paper's authors set them, against "
        "those from benign scores under the faced models: false alarms among other benign inputs "
        f"under the faced models at a nominal {fpr}, and flagged targets. Only "
        f"Poisoning is listed, where the faced models differ most.\n\n{_missed(joined)}\n"
    ) + text.markdown([*header, "flagged, victim", "flagged, faced"], body, text_columns=2)


def _missed(table: pd.DataFrame) -> str:
    """Count per detector the rows in which the victim's threshold misses its rate."""
    sentences = []
    for name, rows in table.groupby("detector", sort=True):
        missed = rows[rows["p_holm"] < 0.05]
        if len(missed):
            columns = ("value", "control_value", "value_caught", "control_value_caught")
            alarms, faced, caught, fewer = (float(missed[column].mean()) for column in columns)
            sentences.append(
                f"- {name}: the victim's threshold misses the nominal rate in {len(missed)} of "
                f"{len(rows)} rows; there, in the mean, it flags {alarms:.1%} of benign inputs, "
                f"the rows' own thresholds {faced:.1%}, and {caught:.1%} of targets, the rows' own "
                f"{fewer:.1%}.\n"
            )
    others = table.loc[table["p_holm"].notna(), "detector"].nunique() - len(sentences)
    which = "the other " * bool(sentences)
    sentences.append(f"- The nominal rate is missed in no row by {which}{others}.\n")
    return "".join(sentences)


_COUNTED = [f"{side}{name}" for side in ("", "control_") for name in ("n", "value", "low", "high")]
_SECTIONS: dict[str, tuple[str, Section]] = {
    "confidence": ("Benign inputs of equal confidence", _confidence),
    "noise": ("Noise of equal norm", _twins("PGD", "noise of its norm")),
    "fine-tuning": ("Fine-tuning without poison", _twins("Poisoning", "honest fine-tuning")),
    "endpoints": ("Loose endpoints", _endpoints),
    "calibration": ("Calibration on the victim", _calibration),
}
