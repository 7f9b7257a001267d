"""A new detector or attack as a part of a suite."""

from dataclasses import dataclass, replace
from pathlib import Path

from evil_twins.bench import printable
from evil_twins.bench.components.names import split_call
from evil_twins.bench.components.registry import kind_of
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.suite.rows import column_of, rows_of, short_name
from evil_twins.bench.suite.suite import Suite

WORKING_DIRECTORY = Path("compare")
"""Replaces the file of the suite: files of newcomers lie in the working directory."""


@dataclass(frozen=True)
class Newcomer:
    """A new detector or attack.

    Attributes:
        kind: "attack" or "detector".
        label: Its name in tables.
        suite: The suite, with the newcomer added.
    """

    kind: str
    label: str
    suite: Suite

    @property
    def folder(self) -> str:
        """The name of the folder of its comparison."""
        return printable.file_name(self.label)

    def owns(self, plan: Plan, key: str) -> bool:
        """Check whether a cell runs the newcomer on targets; its preparation is no such cell."""
        cell = plan.cells[key]
        kinds = ("attack",) if self.kind == "attack" else ("benign", "score")
        return cell.kind in kinds and cell.label == self.label


def newcomer(text: str, suite: Suite) -> Newcomer:
    """Add an attack or a detector to a suite.

    Args:
        text: Its name with its parameters, such as "file.py:Name(k=5)".
        suite: The suite.

    Raises:
        UserError: There is no such thing, or the suite has it already.
    """
    method, parameters = split_call(text)
    kind = kind_of(method, WORKING_DIRECTORY.parent)
    short = short_name(method, parameters)
    labels = {entry.label for entry in (suite.rows if kind == "attack" else suite.columns)}
    taken = labels | {"any"}
    label = text if short in taken else short
    if label in taken:
        raise UserError(
            f"{suite.name} has the {kind} {label!r} already",
            f"remedy: other parameters in brackets, or `evil-twins table {suite.name}` to see it",
        )
    table = {"method": text, "name": label}
    if kind == "attack":
        rows = rows_of(table, suite.targets.count, WORKING_DIRECTORY)
        return Newcomer(kind, label, replace(suite, rows=(*suite.rows, *rows)))
    column = column_of(table, WORKING_DIRECTORY)
    if column.inspects:
        raise UserError(
            f"{label!r} judges models: no target has a score that could be compared",
            "remedy: run a suite with rows of `fine-tuning` that names it under [[detectors]]",
        )
    return Newcomer(kind, label, replace(suite, columns=(*suite.columns, column)))
