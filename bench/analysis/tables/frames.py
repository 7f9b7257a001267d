"""Lines and columns of data frames as plain values."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis.stats import Bools, Floats, holm


def lines(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return all lines, each by column name."""
    return [{str(key): value for key, value in line.items()} for line in frame.to_dict("records")]


def line(frame: pd.DataFrame, index: int) -> dict[str, Any]:
    """Return a line by column name."""
    return {str(key): value for key, value in frame.loc[index].to_dict().items()}


def column(frame: pd.DataFrame, name: str) -> Floats:
    """Return a column as float64."""
    return frame[name].to_numpy(dtype=np.float64)


def flags(frame: pd.DataFrame, name: str) -> Bools:
    """Return a column as booleans."""
    return frame[name].to_numpy(dtype=bool)


def matching(frame: pd.DataFrame, values: Mapping[str, Any]) -> "pd.Series[bool]":
    """Return which lines have all of these values, by column name; NaN equals nothing."""
    return frame[list(values)].eq(pd.Series(values)).all(axis=1)


def holm_within(table: pd.DataFrame, keys: list[str], name: str) -> "pd.Series[float]":
    """Return a column of p-values, corrected by Holm over the lines of equal keys."""
    groups = table.groupby(keys, dropna=False)[name]
    return groups.transform(lambda p: holm(p.to_numpy(dtype=np.float64)))


def by_name(names: str, values: Iterable[float]) -> dict[str, float]:
    """Return values by their names, which spaces separate: "rate low high"."""
    return dict(zip(names.split(), values, strict=True))


def frame(lines: Iterable[Mapping[str, Any]], columns: Iterable[str]) -> pd.DataFrame:
    """Return lines as a frame with these columns, even if there are no lines.

    Raises:
        ValueError: A line has another column.
    """
    rows, names = list(lines), list(columns)
    if unnamed := {key for row in rows for key in row} - set(names):
        raise ValueError(f"columns that the table does not declare: {', '.join(sorted(unnamed))}")
    return pd.DataFrame(rows, columns=pd.Index(names))


def ends(name: str) -> str:
    """Return the names of a value and of the ends of its interval: "name name_low name_high"."""
    return f"{name} {name}_low {name}_high"


def spread(name: str, interval: tuple[float, float, float]) -> dict[str, float]:
    """Return a value and the ends of its interval by the names of `ends`."""
    return by_name(ends(name), interval)
