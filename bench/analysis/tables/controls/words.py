"""The table of controls in words: what each control leaves, then the numbers."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.paper import KAPPA
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.controls import line as reading
from evil_twins.bench.analysis.tables.controls.confidence import NEAR
from evil_twins.bench.analysis.tables.decisions import ALPHA
from evil_twins.bench.analysis.tables.records import KEYS, STUDY

Line = dict[str, Any]


def controls(table: pd.DataFrame) -> str:
    """All controls of a suite; a control that was not run has no section."""
    parts = [
        "# Controls that explain\n\n"
        "What is left of a signal when its simplest cause is held equal. A rate is a count with "
        "its Clopper–Pearson 95 % interval, a difference a paired bootstrap over targets.\n"
    ]
    several = len(table[STUDY].drop_duplicates()) > 1
    for _, study in table.groupby(STUDY, sort=True):
        head = text.study(frames.lines(study)[0])
        for name, (title, section) in _SECTIONS.items():
            mine = study[study["control"] == name]
            if len(mine):
                parts.append(f"\n## {title}{f': {head}' if several else ''}\n\n{section(mine)}")
    return "".join(parts)


def _shown(table: pd.DataFrame) -> float:
    """The κ that is printed in full: the paper's, or the lowest that was run."""
    kappas = sorted(float(kappa) for kappa in set(table["kappa"]))
    return KAPPA if KAPPA in kappas else kappas[0]


def _pair(line: Line, stem: str = "") -> str:
    """A count with its interval."""
    n = int(line[f"{stem}n"])
    return text.rate(round(line[f"{stem}value"] * n), n, line[f"{stem}low"], line[f"{stem}high"])


def _difference(line: Line) -> str:
    low, high = line["difference_low"], line["difference_high"]
    return f"{line['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _counts(table: pd.DataFrame) -> str:
    """Readings by detector, in a sentence each; detectors without any signal in one."""
    said, silent = [], []
    for name, part in table.groupby("detector", sort=True):
        counts = part["reading"].value_counts()
        heard = len(part) - int(counts.get(reading.NONE, 0))
        if not heard:
            silent.append(str(name))
            continue
        words = {reading.STAYS: "stays", reading.GONE: "**vanishes**", reading.OPEN: "is undecided"}
        told = [f"{words[one]} in {counts[one]}" for one in words if one in counts]
        said.append(f"- {name}: a signal in {heard} of {len(part)} rows; it {', '.join(told)}.\n")
    if silent:
        said.append(f"- No signal that a control could explain: {', '.join(silent)}.\n")
    return "".join(said) + "\n"


def _confidence(table: pd.DataFrame) -> str:
    names = sorted(set(table["detector"]))
    shown = table[table["kappa"].eq(_shown(table)) & table["lam"].isna()]
    lines = []
    for _, part in shown.groupby(KEYS, sort=False, dropna=False):
        cells = {one["detector"]: _matched(one) for one in frames.lines(part)}
        first = frames.lines(part)[0]
        place = [text.name(first), text.number(first["gap"], 2)]
        lines.append([*place, *(cells.get(name, "") for name in names)])
    return (
        "KS of attacked against benign scores under the same faced models → against the benign "
        "inputs of nearest confidence; in brackets the 95th percentile of the null at equal n. "
        "A KS above it is a signal. Matched, it vanishes within its null (a poor match would leave "
        "more of it, not less), stays above it if the confidences are at most "
        f"{text.short(NEAR)} apart in the median, and is undecided where benign inputs of such "
        f"confidence are lacking.\n\n{_counts(table)}"
    ) + text.markdown(["attack", "confidences apart", *names], lines)


def _matched(one: Line) -> str:
    pair = f"{one['value']:.2f} → {one['control_value']:.2f} ({one['control_null95']:.2f})"
    return f"{pair} {one['reading']}"


def _twins(attack: str, control: str) -> Callable[[pd.DataFrame], str]:
    def section(table: pd.DataFrame) -> str:
        lines = [
            [
                text.name(one),
                str(one["detector"]),
                _pair(one),
                _pair(one, "control_"),
                _difference(one),
                text.p_value(one["p_holm"]),
                str(one["reading"]),
            ]
            for one in frames.lines(table[table["reading"] != reading.NONE])
        ]
        header = ["attack", "detector", attack, control, "difference", "p (Holm)", "signal"]
        return (
            f"Flagged at a false-positive rate of {100 * ALPHA:g} % under {attack} and under "
            f"{control}, on the same targets. A rate whose interval lies above the nominal one is "
            "a signal: only these are listed. It stays where McNemar's test tells it from the "
            "control at 5 %, Holm-corrected over detectors; it vanishes where the interval of the "
            "difference holds 0 and at most half of the excess over the nominal rate is left.\n\n"
            f"{_counts(table)}"
        ) + text.markdown(header, lines, left=2)

    return section


def _endpoints(table: pd.DataFrame) -> str:
    lines, said = [], []
    for one in frames.lines(table):
        loose, tight = one["value"], one["control_value"]
        share = f"{(loose - tight) / loose:.0%}" if loose > 0 else ""
        own = f"{one['control_value']:.2f} [{one['control_low']:.2f}, {one['control_high']:.2f}]"
        printed = f"{loose:.2f} [{one['low']:.2f}, {one['high']:.2f}]"
        place = [text.name(one), str(one["against"]), str(int(one["n"]))]
        lines.append([*place, printed, own, _difference(one), share, str(one["reading"])])
    for name, part in table.groupby("against", sort=True):
        proven = int((part["difference_low"] > 0).sum())
        gone = int((part["reading"] == reading.GONE).sum())
        slack, whole = (float(part[column].mean()) for column in ("difference", "value"))
        said.append(
            f"- {name} loose: mean leverage {whole:.2f}, of which {slack:+.2f} is slack. The "
            f"interval of the slack lies above 0 in {proven} of {len(part)} rows; with tight rows "
            f"the leverage {'**vanishes**' if gone else 'vanishes'} in {gone}.\n"
        )
    header = ["attack", "loose", "targets", "leverage, loose", "leverage, tight", "slack", "share"]
    return (
        "The leverage 1 − fidelity − specificity, both over the losses of the pure attacks, with "
        "rows that stop at their first iterate at κ, as the paper's attacks do, in place of tight "
        "ones. Slack: the difference, on the same targets and bootstrap samples (crossed over "
        "targets × R).\n\n" + "".join(said) + "\n"
    ) + text.markdown([*header, "leverage"], lines, left=2)


def _calibration(table: pd.DataFrame) -> str:
    keys = ["attack", "layers", "kappa", "phi", "lam", "detector"]
    alarms, rates = (table[table["quantity"] == name] for name in ("fpr", "rate"))
    both = alarms.merge(rates[[*keys, *_COUNTED]], on=keys, suffixes=("", "_caught"))
    shown = both[both["phi"].eq(0) & both["kappa"].eq(_shown(table))]
    lines = []
    for one in frames.lines(shown):
        caught = {name: one[f"{name}_caught"] for name in _COUNTED}
        cells = [_pair(part, side) for part in (one, caught) for side in ("", "control_")]
        lines.append([text.name(one), str(one["detector"]), *cells])
    header = ["attack", "detector", "false alarms, victim", "false alarms, faced"]
    return (
        "Thresholds from benign scores of the victim, as the paper's authors set them, against "
        "those from benign scores under the faced models: false alarms among other benign inputs "
        f"under the faced models at a nominal {100 * ALPHA:g} %, and flagged targets. Poisoning "
        f"alone is listed, where the faced models differ most.\n\n{_missed(both)}\n"
    ) + text.markdown([*header, "flagged, victim", "flagged, faced"], lines, left=2)


def _missed(both: pd.DataFrame) -> str:
    """Where the victim's threshold misses its rate (beta-binomial), by detector."""
    said = []
    for name, part in both.groupby("detector", sort=True):
        missed = part[part["p_holm"] < 0.05]
        if len(missed):
            named = ("value", "control_value", "value_caught", "control_value_caught")
            alarms, own, caught, less = (float(missed[column].mean()) for column in named)
            said.append(
                f"- {name}: the victim's threshold misses the nominal rate in {len(missed)} of "
                f"{len(part)} rows; there, in the mean, it flags {alarms:.1%} of benign inputs, "
                f"the rows' own thresholds {own:.1%}, and {caught:.1%} of targets, the rows' own "
                f"{less:.1%}.\n"
            )
    rest = both.loc[both["p_holm"].notna(), "detector"].nunique() - len(said)
    said.append(f"- The nominal rate is missed in no row by {'the other ' * bool(said)}{rest}.\n")
    return "".join(said)


_COUNTED = [f"{side}{name}" for side in ("", "control_") for name in ("n", "value", "low", "high")]
_SECTIONS: dict[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
    "confidence": ("Benign inputs of equal confidence", _confidence),
    "noise": ("Noise of equal norm", _twins("PGD", "noise of its norm")),
    "fine-tuning": ("Fine-tuning without poison", _twins("Poisoning", "honest fine-tuning")),
    "endpoints": ("Loose endpoints", _endpoints),
    "calibration": ("Calibration on the victim", _calibration),
}
