"""The rates of detectors in several populations on a terminal."""

from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from evil_twins.bench import printable
from evil_twins.bench.analysis.generality.numbers import Numbers
from evil_twins.bench.analysis.generality.words import points
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES
from evil_twins.bench.analysis.tables.frames import lines


def show(numbers: Numbers) -> Table:
    """Return families and detectors down, populations across, for `rich` to print: rates in %."""
    gathered = numbers.gathered
    title = (
        f"Targets flagged at FPR {text.percent(gathered.fpr)}, κ {text.level(gathered.kappa)}, "
        f"in %; home is {numbers.home.name}"
    )
    table = printable.Whole(title=Text(printable.name(title)), title_justify="left", box=None)
    table.add_column("attacks", no_wrap=True)
    table.add_column("detector", no_wrap=True)
    for name in numbers.names:
        table.add_column(Text(printable.name(name)), justify="right", overflow="fold")
    for (moves, detector), part in numbers.rates.groupby(["moves", "detector"], sort=False):
        cells = {line["population"]: _words(line) for line in lines(part)}
        written = [cells.get(name, "·") for name in numbers.names]
        table.add_row(*printable.cells(FAMILIES[str(moves)], detector, *written))
    table.caption, table.caption_justify = Text("· no scores  – no threshold"), "left"
    return table


def _words(line: dict[str, Any]) -> str:
    """Write a rate with its interval; a dash without a threshold."""
    if pd.isna(line["rate"]):
        return "–"
    value, *ends = (points(line[name]) for name in ("rate", "low", "high"))
    return f"{value} [{', '.join(ends)}]"
