"""Numbers and rows as readable tables and figures write them."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, isnan
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import STUDY, Records
from evil_twins.bench.store.levels import BENIGN

ROUNDING = 1e-12
"""Rounding error of a difference of equal numbers."""


def number(value: float, digits: int = 3) -> str:
    """Write a number with `digits` significant digits; empty for NaN."""
    if isnan(value):
        return ""
    if abs(value) < ROUNDING:
        return "0"
    if not isfinite(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}g}"


def p_value(value: float) -> str:
    """Write a p-value with two significant digits, "< 0.001" below that; empty for NaN."""
    if isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def percent(share: float) -> str:
    """Write a nominal rate in percent, as "5 %"."""
    return f"{100 * share:g} %"


def rate(k: int, n: int, low: float, high: float) -> str:
    """Write a share as `k/n rate [low, high]`, without brackets if there is no interval."""
    if not n:
        return "0/0"
    return f"{k}/{n} {bracketed(k / n, low, high)}"


def bracketed(value: float, low: float, high: float) -> str:
    """Write a value with two decimals and its interval in brackets, if there is one."""
    return f"{value:z.2f}" if isnan(low) else f"{value:z.2f} [{low:z.2f}, {high:z.2f}]"


def share(line: Mapping[str, Any], name: str) -> str:
    """Write a count of all n by column name as `rate` does, with the interval of the line."""
    return rate(int(line[name]), int(line["n"]), line["low"], line["high"])


def interval(line: Mapping[str, float], name: str, scale: float = 1, digits: int = 3) -> str:
    """Write a value with the ends of its interval in brackets, if there is one; times `scale`."""
    value, low, high = (number(scale * line[name + end], digits) for end in ("", "_low", "_high"))
    return f"{value} [{low}, {high}]" if low or high else value


def difference(line: Mapping[str, float]) -> str:
    """Write the difference of two rates with its sign, and its interval unless that is NaN."""
    low, high = line["difference_low"], line["difference_high"]
    if isnan(low):
        return f"{line['difference']:+.2f}"
    return f"{line['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def name(row: Mapping[str, object]) -> str:
    """Write a row in words, such as "imc head κ .75 φ .5", without values that do not apply."""
    words = [str(row["attack"])]
    layers = str(row["layers"])
    if layers not in ("none", "") and layers not in words[0]:
        words.append(layers)
    for column, symbol in (("kappa", "κ"), ("phi", "φ"), ("lam", "λ")):
        value = float(str(row[column]))
        if not isnan(value):
            words.append(f"{symbol} {level(value) if column == 'kappa' else short(value)}")
    return one_line(" ".join(words))


def level(kappa: float) -> str:
    """Write κ as "benign" or as `short` does."""
    return "benign" if kappa == BENIGN else short(kappa)


def short(value: float) -> str:
    """Write a level without a leading zero: .75, 0, 1, 30."""
    text = f"{value:g}"
    return text[1:] if text.startswith("0.") else text


def failed(cells: int) -> str:
    """Write the number of failed cells."""
    return f"{cells} cell{'' if cells == 1 else 's'} failed" if cells else "no cell failed"


def failures(records: Records) -> str:
    """Write the failed cells as a list, or that there are none."""
    if records.failures.empty:
        return "No cell failed.\n"
    listed = [f"- {one_line(reason)}\n" for reason in reasons(records)]
    return f"{failed(len(listed))}:\n\n" + "".join(listed)


def reasons(records: Records) -> list[str]:
    """Write each failed cell with its reason, in order."""
    failures = lines(records.failures.sort_values(["kind", "cell"]))
    return [f"{line['kind']} {line['cell']}: {line['reason']}" for line in failures]


def unscored(attacks: int) -> str:
    """Write the number of attacks without scores, which a matrix skips; "" for none."""
    if not attacks:
        return ""
    return f"{attacks} attack{' has' if attacks == 1 else 's have'} no scores and no line here"


def study(row: Mapping[str, object]) -> str:
    """Write a study in words: data set, victim, seed."""
    return one_line(f"{row['dataset']}, {row['victim']}, seed {row['seed']}")


def studies(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each study with its title."""
    for _, group in rows.groupby(STUDY, sort=True):
        yield study(lines(group)[0]), group


def at_kappa(line: Mapping[str, object]) -> str:
    """Write a study and κ in words."""
    return f"{study(line)}, κ {level(float(str(line['kappa'])))}"


def ordered(rows: pd.DataFrame) -> list[int]:
    """Return row numbers in reading order: controls, attacks by κ, layers and φ or λ, yardsticks.

    Poisoning is listed before the sweep and PGD after it.
    """
    role, nothing = rows["role"], rows["moves"].eq("nothing").astype(int)
    keys = rows.assign(
        _place=role.eq("yardstick").astype(int) - role.eq("control").astype(int) - nothing,
        _phi=rows["phi"].fillna(0.5),
        _price=-rows["lam"].fillna(0.0),
    )
    order = ["dataset", "victim", "seed", "_place", "kappa", "_phi", "attack", "layers", "_price"]
    return [int(row) for row in keys.sort_values(order).index]


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Write a Markdown table; the first columns hold text and are set left, the others right."""
    rule = [":--" if i < text_columns else "--:" for i in range(len(header))]
    rows = [header, rule, *lines]
    return "".join("| " + " | ".join(map(_cell, row)) + " |\n" for row in rows)


def one_line(words: str) -> str:
    """Remove line breaks: a name from a record must not begin a paragraph."""
    return " ".join(words.split())


def _cell(cell: str) -> str:
    return one_line(cell).replace("|", "\\|")
