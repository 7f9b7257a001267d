"""Lines and columns of a table that are chosen by name, in every form."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from evil_twins.bench.analysis import contents
from evil_twins.bench.analysis.contents import RATES
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.tables import text, typeset
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.forms import FORMS
from evil_twins.bench.analysis.tables.selection import ALL, COLUMNS, Selection
from evil_twins.bench.analysis.tables.write import TABLES, csv
from evil_twins.bench.errors import UserError, unknown

DATA = ("csv", "json")
"""Forms for machines: every column, full numbers, one table."""


def printed(
    analysis: Analysis,
    name: str,
    form: str,
    choice: Selection = ALL,
    columns: Sequence[str] = (),
) -> str:
    """Write a table.

    Args:
        analysis: The numbers of the suite. Of a table with several false-positive rates the lines
            are those of its rate.
        name: A name of `contents.TABLES`.
        form: "csv" or "json" for machines, "md", "latex" or "html" for people: there a value and
            its interval share a cell, and what all lines share is in the title.
        choice: The lines.
        columns: The columns in their order; none for all.

    Raises:
        UserError: There is no such table or column, or an option means nothing for the table.
    """
    if name == RATES and form not in DATA:
        if columns:
            raise UserError(
                "--columns does not fit the rates: their columns are attacks",
                "remedy: --attacks, --format csv, or the name of a table such as `detection`",
            )
        return typeset.typeset(analysis, form, choice)
    frame = _lines(analysis, name, choice)
    for column in columns:
        if column not in frame:
            raise unknown(f"column of {name}", column, map(str, frame.columns))
    if columns:
        frame = frame[list(dict.fromkeys(columns))]
    if form == "csv":
        return csv(frame).decode()
    if form == "json":
        return _json(frame)
    return _written(name, frame, form, keep=bool(columns))


def check_rate(names: Iterable[str], fpr: float | None) -> None:
    """Check that each of these tables depends on a false-positive rate, if one is chosen.

    Raises:
        UserError: A table does not.
    """
    fixed = {table.name for table in TABLES if "detector" not in table.names}
    for name in names:
        if fpr not in (None, FPR) and name in fixed:
            raise UserError(f"table {name!r} has no rate of a detector", "remedy: without --fpr")


def _lines(analysis: Analysis, name: str, choice: Selection) -> pd.DataFrame:
    """Return the chosen lines of a table."""
    if name == RATES:
        return typeset.rate_lines(analysis, choice)
    tables = {table.name: table for table in TABLES}
    if name not in tables:
        raise unknown("table", name, contents.TABLES)
    frame = analysis.table(tables[name])
    for option in choice.options:
        if COLUMNS[option] not in frame:
            raise UserError(
                f"table {name!r} has no column {COLUMNS[option]!r} to select by",
                f"remedy: without --{option}",
            )
    frame = choice.lines(frame)
    if "fpr_nominal" in frame:
        frame = frame[frame["fpr_nominal"].eq(analysis.fpr)]
    if frame.empty:
        reason = "with this selection" if choice.options else "for this suite"
        raise UserError(
            f"table {name!r} has no lines {reason}",
            "remedy: other --attacks, --detectors or --kappa, or another table",
        )
    return frame


def _json(frame: pd.DataFrame) -> str:
    """Write a list of objects: null for what is not measured, a text for an infinity."""
    columns = {str(name): [_value(value) for value in frame[name]] for name in frame}
    rows = [dict(zip(columns, line, strict=True)) for line in zip(*columns.values(), strict=True)]
    return json.dumps(rows, indent=1) + "\n"


def _value(value: object) -> object:
    if value is None or value is pd.NA:
        return None
    value = getattr(value, "item", lambda: value)()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else text.number(value)
    return value


def _written(name: str, frame: pd.DataFrame, form: str, *, keep: bool) -> str:
    """Write lines for people; unless `keep`, shared values go into the title."""
    writer, title = FORMS[form], [name]
    columns = list(_columns(frame))
    if not keep:
        shared = [parts for parts in columns if _is_shared(frame, parts[0])]
        words = {parts[0]: _cell(frame.iloc[0], parts) for parts in shared if len(frame)}
        title += [f"{column} {word}" for column, word in words.items() if word]
        columns = [parts for parts in columns if parts not in shared] or columns[:1]
    body = []
    for _, line in frame.iterrows():
        first, *rest = (_cell(line, parts) for parts in columns)
        body.append([first, *map(writer.cell, rest)])
    return writer.write(f"{', '.join(title)}.", [parts[0] for parts in columns], body)


def _columns(frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    """Yield each column, a value together with the ends of its interval."""
    names = [str(name) for name in frame.columns]
    ends = {name: (f"{name}_low", f"{name}_high") for name in names} | {"rate": ("low", "high")}
    joined = {name: pair for name, pair in ends.items() if {name, *pair} <= set(names)}
    skipped = {end for pair in joined.values() for end in pair}
    for name in names:
        if name not in skipped:
            yield name, *joined.get(name, ())


def _is_shared(frame: pd.DataFrame, name: str) -> bool:
    return frame[name].nunique(dropna=False) <= 1


def _cell(line: "pd.Series[float]", parts: tuple[str, ...]) -> str:
    """Write a value, with its interval in brackets."""
    value, *ends = (_word(part, line[part]) for part in parts)
    return f"{value} [{', '.join(ends)}]" if ends and value else value


def _word(name: str, value: object) -> str:
    value = _value(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if name == "kappa":
            return text.level(value)
        return text.short(value) if name in ("phi", "lam", "level") else text.number(value)
    return text.one_line(str(value))
