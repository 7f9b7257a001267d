"""What a comparison gave, as Markdown."""

from math import nan
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.tables import readable, text
from evil_twins.bench.analysis.tables.compare.attack import Against
from evil_twins.bench.analysis.tables.compare.detector import ALPHAS, Beside
from evil_twins.bench.analysis.tables.decisions import ALPHA
from evil_twins.bench.analysis.tables.detection import numbered
from evil_twins.bench.analysis.tables.frames import column, line, lines
from evil_twins.bench.analysis.tables.records import KEYS, Records

STRICT = ALPHAS[0]
LEVEL = 0.05
"""Of the tests, after Holm's correction."""


def detector(records: Records, found: Beside, label: str) -> str:
    """A new detector beside the others."""
    parts = [
        f"# {label} ({_knowledge(found)}) beside the other detectors\n\n"
        f"{text.study(line(records.rows, 0))}. Thresholds come from benign scores under the faced "
        "models, at a false-positive rate (FPR) of 5 % and of 1 %; in brackets Clopper–Pearson "
        "95 % intervals, for AUROC a paired bootstrap. Attacker's success: at κ, within ε and not "
        "flagged at 5 %. KS is measured at equal n, beside its mean and 95th percentile under "
        "shuffled labels. Milliseconds are those of whole score cells, fits included.\n\n"
        f"{_rates(records, found)}"
    ]
    for kappa, part in found.worst.groupby("kappa", sort=True):
        pairs = found.paired[found.paired["kappa"] == kappa]
        parts.append(f"\n## Beside each detector, κ {text.short(float(str(kappa)))}\n\n")
        parts.append(_others(part, pairs, label))
    parts.append(
        "\nCaught: flagged under *every* attack that reaches κ, of all at that κ, "
        f"controls left out. Difference: {label} minus the other on the same targets, with Tango's "
        "95 % interval; p by McNemar's exact test, corrected by Holm over all detectors and κ. "
        f"More, fewer: attacks under which {label} flags more or fewer targets than the other, at "
        f"p < {LEVEL:g} corrected over all pairs; each is in `paired.csv`.\n\n"
    )
    return "".join([*parts, readable.failures(records)])


def _knowledge(found: Beside) -> str:
    return "".join(sorted(set(found.compare["knowledge"]))[:1])


def _rates(records: Records, found: Beside) -> str:
    header = ["attack", "at κ", "flagged, FPR 5 %", "realised FPR", "flagged, FPR 1 %"]
    header += ["success", "AUROC", "KS (mean, 95 % of null)", "ms per input"]
    table = numbered(records, found.compare)
    of = {float(str(a)): part.set_index("row") for a, part in table.groupby("fpr_nominal")}
    body = []
    for row in text.ordered(records.rows):
        if not of or row not in of[ALPHA].index:
            continue
        one, strict = line(of[ALPHA], row), line(of[STRICT], row)
        null = f"{text.number(one['ks_null'], 2)}, {text.number(one['ks_null95'], 2)}"
        area = [text.number(one[name], 2) for name in ("auroc", "auroc_low", "auroc_high")]
        body.append(
            [
                text.name(line(records.rows, row)),
                _at_kappa(one),
                _rate(one),
                text.number(one["fpr_realised"], 2),
                _rate(strict),
                "" if pd.isna(one["kappa"]) else f"{one['success']}/{one['n']}",
                f"{area[0]} [{area[1]}, {area[2]}]",
                f"{text.number(one['ks'], 2)} ({null})",
                text.number(1000 * float(one["seconds_per_input"]), 2),
            ]
        )
    return text.markdown(header, body)


def _at_kappa(one: dict[str, Any]) -> str:
    return "" if pd.isna(one["kappa"]) else f"{one['at_kappa']}/{one['n']}"


def _rate(one: dict[str, Any]) -> str:
    return text.rate(one["detected"], one["n"], one["low"], one["high"])


def _others(part: pd.DataFrame, pairs: pd.DataFrame, label: str) -> str:
    header = ["detector", "knows", "attacks", "caught", "difference", "p (Holm)", "more", "fewer"]
    sure = pairs[pairs["p_holm"] < LEVEL]
    first = part.assign(_place=part["detector"] != label)
    body = []
    for one in lines(
        first.sort_values(["_place", "caught", "detector"], ascending=[True, False, True])
    ):
        name = str(one["detector"])
        signs = np.sign(column(sure[sure["other"] == name], "difference"))
        own = name == label
        body.append(
            [
                name,
                str(one["knowledge"]),
                str(one["attacks"]),
                text.rate(one["caught"], one["n"], one["low"], one["high"]),
                "" if own else _gap(one),
                "" if own else text.p_value(one["p_holm"]),
                "" if own else str(int((signs > 0).sum())),
                "" if own else str(int((signs < 0).sum())),
            ]
        )
    return text.markdown(header, body, left=2)


def _gap(one: dict[str, Any]) -> str:
    if pd.isna(one["difference"]):
        return ""
    low, high = one["difference_low"], one["difference_high"]
    return f"{one['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def attack(records: Records, found: Against, label: str) -> str:
    """A new attack under every detector, and what it costs beside the others."""
    mine = found.detection[found.detection["attack"] == label]
    parts = [
        f"# {label} beside the other attacks\n\n"
        f"{text.study(line(records.rows, 0))}. Success: at κ, within ε and not flagged at a "
        "false-positive rate (FPR) of 5 %; intervals as in the other tables.\n"
    ]
    for keys, part in mine.groupby(KEYS, dropna=False, sort=True):
        name = text.name(dict(zip(KEYS, keys, strict=True)))
        parts.append(f"\n## Under each detector: {name}\n\n{_against(part)}")
    parts.append(f"\n## Beside the other attacks\n\n{_matrix(records, found, label)}")
    parts.append(
        "\nMeans over all targets; disagreement pooled over targets × R with a crossed bootstrap "
        "interval (95 %); under each detector the targets flagged at an FPR of 5 %, in %.\n\n"
    )
    return "".join([*parts, readable.failures(records)])


def _against(part: pd.DataFrame) -> str:
    header = ["detector", "knows", "flagged, FPR 5 %", "flagged, FPR 1 %", "success", "AUROC"]
    header += ["KS (mean, 95 % of null)"]
    of = {float(str(a)): some.set_index("detector") for a, some in part.groupby("fpr_nominal")}
    body = []
    for name in of[ALPHA].index:
        one = {str(k): v for k, v in of[ALPHA].loc[name].items()}
        strict = {str(k): v for k, v in of[STRICT].loc[name].items()}
        null = f"{text.number(one['ks_null'], 2)}, {text.number(one['ks_null95'], 2)}"
        body.append(
            [
                str(name),
                str(one["knowledge"]),
                _rate(one),
                _rate(strict),
                f"{one['success']}/{one['n']}",
                text.number(one["auroc"], 2),
                f"{text.number(one['ks'], 2)} ({null})",
            ]
        )
    return text.markdown(header, body, left=2)


def _matrix(records: Records, found: Against, label: str) -> str:
    table = numbered(records, found.detection)
    five = lines(table[table["fpr_nominal"] == ALPHA])
    rates = {(int(one["row"]), str(one["detector"])): float(one["rate"]) for one in five}
    names = sorted({name for _, name in rates})
    header = ["attack", "at κ", "‖x* − x°‖∞ · 255", "disagreement ‰", "KL · 1000", *names]
    body = []
    order = text.ordered(records.rows)
    new = [row for row in order if records.rows.at[row, "attack"] == label]
    for row in [*new, *(row for row in order if row not in new)]:
        one = line(found.compare, row)
        low, high = (text.number(1000 * one[f"specificity_{end}"]) for end in ("low", "high"))
        cells = [rates.get((row, name), nan) for name in names]
        body.append(
            [
                text.name(one),
                _at_kappa(one),
                text.number(255 * one["linf"]),
                f"{text.number(1000 * one['specificity'])} [{low}, {high}]",
                text.number(1000 * one["kl"]),
                *(text.number(100 * cell) for cell in cells),
            ]
        )
    return text.markdown(header, body)
