"""How numbers and rows are written in readable tables and figures."""

from collections.abc import Mapping, Sequence
from math import isfinite, isnan

import pandas as pd

from evil_twins.bench.analysis.tables.families import PROPOSITION, WITHIN

ROUNDING = 1e-12
"""What a difference of equal numbers may leave."""


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits; empty when unknown."""
    if isnan(value):
        return ""
    if abs(value) < ROUNDING:
        return "0"
    if not isfinite(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}g}"


def p_value(value: float) -> str:
    """A p-value: two significant digits, "< 0.001" below that; empty when untested."""
    if isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def rate(k: int, n: int, low: float, high: float) -> str:
    """A share as `k/n rate [low, high]`."""
    return f"{k}/{n} {k / n:.2f} [{low:.2f}, {high:.2f}]" if n else "0/0"


def name(row: Mapping[str, object]) -> str:
    """A row in words, such as "imc head κ .75 φ .5"; what does not apply is left out."""
    parts = [str(row["attack"])]
    layers = str(row["layers"])
    if layers not in ("none", "") and layers not in parts[0]:
        parts.append(layers)
    for column, symbol in (("kappa", "κ"), ("phi", "φ"), ("lam", "λ")):
        level = float(str(row[column]))
        if not isnan(level):
            parts.append(f"{symbol} {short(level)}")
    return one_line(" ".join(parts))


def short(value: float) -> str:
    """A level without a leading zero: .75, 0, 1, 30."""
    text = f"{value:g}"
    return text[1:] if text.startswith("0.") else text


def failed(cells: int) -> str:
    """How many cells failed."""
    return f"{cells} cell{'' if cells == 1 else 's'} failed" if cells else "no cell failed"


def unscored(attacks: int) -> str:
    """How many attacks a matrix of rates leaves out, as no detector saw them; "" for none."""
    if not attacks:
        return ""
    return f"{attacks} attack{' has' if attacks == 1 else 's have'} no scores and no line here"


def study(row: Mapping[str, object]) -> str:
    """A study in words: data set, victim, seed."""
    return one_line(f"{row['dataset']}, {row['victim']}, seed {row['seed']}")


def ordered(rows: pd.DataFrame) -> list[int]:
    """Row numbers in reading order: controls, attacks by kappa, layers and phi or lam, the rest.

    Poisoning stands above the sweep and PGD below it.
    """
    place = {"untouched": -2, "noise": -1, "fine-tuning": -1}
    place |= {WITHIN: 1, PROPOSITION: 1}
    keys = rows.assign(
        _control=[place.get(str(method), 0) for method in rows["method"]],
        _phi=rows["phi"].fillna(0.5),
        _price=-rows["lam"].fillna(0.0),
    )
    order = ["dataset", "victim", "seed", "_control", "kappa", "_phi", "attack", "layers", "_price"]
    return [int(row) for row in keys.sort_values(order).index]


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are set left, the others right."""
    rule = [":--" if i < left else "--:" for i in range(len(header))]
    rows = [header, rule, *lines]
    return "".join("| " + " | ".join(map(_cell, row)) + " |\n" for row in rows)


def one_line(words: str) -> str:
    """The words without line breaks: a name from a record must not begin a paragraph."""
    return " ".join(words.split())


def _cell(cell: str) -> str:
    return one_line(cell).replace("|", "\\|")
