"""New detectors or attacks as a part of a suite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path

from evil_twins.bench import printable
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.names import split_call
from evil_twins.bench.components.registry import find, kind_of
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.suite.columns import Column, axes_of, columns_of
from evil_twins.bench.suite.entry import call, short_name
from evil_twins.bench.suite.names import OR_OF_ALL
from evil_twins.bench.suite.rows import most_columns, rows_of
from evil_twins.bench.suite.suite import Suite

WORKING_DIRECTORY = Path("compare")
"""Replaces the file of the suite: files of newcomers lie in the working directory."""

FOLDER_LENGTH = 80


@dataclass(frozen=True)
class Newcomers:
    """Detectors or attacks that are compared with those of a suite.

    Attributes:
        kind: "attack" or "detector".
        labels: Their names in tables.
        added: Those of them that the suite lacks.
        rivals: Names of those that they are compared with.
        suite: The suite, with the newcomers added.
    """

    kind: str
    labels: tuple[str, ...]
    added: frozenset[str]
    rivals: tuple[str, ...]
    suite: Suite

    def owns(self, plan: Plan, key: str) -> bool:
        """Check whether a cell runs a newcomer on targets; its preparation is no such cell."""
        cell = plan.cells[key]
        kinds = ("attack",) if self.kind == "attack" else ("benign", "score")
        return cell.kind in kinds and cell.label in self.added


def with_newcomers(texts: Sequence[str], suite: Suite, against: Sequence[str] = ()) -> Newcomers:
    """Add attacks or detectors to a suite.

    Args:
        texts: Each a name with its parameters, such as "file.py:Name(k=[1, 5])": a list makes
            several. The name of an attack or a detector of the suite means that one.
        suite: The suite.
        against: Patterns of names of the suite to compare them with; none for all.

    Raises:
        UserError: There is no such thing, both attacks and detectors are listed, or no name of the
            suite has a pattern.
    """
    kinds, whole, labels = list[str](), suite, list[str]()
    for text in texts:
        kind, whole, added = _add(text, whole)
        kinds.append(kind)
        labels += added
    if len(set(kinds)) > 1:
        raise UserError(
            f"{texts[0]} is one of the {kinds[0]}s, and another name is not",
            "remedy: compare attacks and detectors in separate calls",
        )
    names = tuple(dict.fromkeys(labels))
    old = _labels(kinds[0], suite)
    rivals = tuple(name for name in _rivals(kinds[0], old, against) if name not in names)
    return Newcomers(kinds[0], names, frozenset(names).difference(old), rivals, whole)


def folder_of(*parts: Sequence[str]) -> str:
    """Return the name of a folder for lists of names; a shell needs no quotes for it."""
    safe = [map(printable.file_name, part) for part in parts if part]
    name = ".".join(map("_and_".join, safe))
    if len(name) <= FOLDER_LENGTH:
        return name
    return f"{name[:FOLDER_LENGTH]}-{sha256(name.encode()).hexdigest()[:8]}"


def _labels(kind: str, suite: Suite) -> tuple[str, ...]:
    """Return the names of the attacks, or of the detectors of inputs, of a suite."""
    if kind == "attack":
        return tuple(dict.fromkeys(row.label for row in suite.rows))
    return tuple(column.label for column in suite.columns if not column.inspects)


def _rivals(kind: str, labels: Sequence[str], patterns: Sequence[str]) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(label, pattern) for label in labels):
            raise unknown(f"{kind} in --against", pattern, labels)
    wanted = patterns or ("*",)
    return [label for label in labels if any(fnmatchcase(label, p) for p in wanted)]


def _add(text: str, suite: Suite) -> tuple[str, Suite, list[str]]:
    """Return the kind of a text, the suite with what it names, and the names."""
    for kind in ("detector", "attack"):
        if text in _labels(kind, suite):
            return kind, suite, [text]
    method, parameters = split_call(text)
    kind = kind_of(method, WORKING_DIRECTORY.parent)
    short, taken = short_name(method, parameters), {*_labels(kind, suite), OR_OF_ALL}
    if kind == "attack":
        label = _free(short, text, kind, taken, suite.name)
        table = {"method": text, "name": label}
        rows = rows_of(table, suite.targets.count, WORKING_DIRECTORY)
        return kind, replace(suite, rows=(*suite.rows, *rows)), [label]
    return kind, *_add_columns(text, suite)


def _add_columns(text: str, suite: Suite) -> tuple[Suite, list[str]]:
    """Return the suite with the columns of a text that it lacks, and the labels of all."""
    method, parameters = split_call(text)
    axes = axes_of(find("detector", method, WORKING_DIRECTORY.parent).load(), parameters)
    fixed = {key: value for key, value in parameters.items() if key not in axes}
    stored = {column.label: column.detector for column in suite.columns}
    for name in (short_name(method, fixed), call(method, fixed)):
        table = {"method": method, "name": name} | parameters
        columns = columns_of(table, most_columns(suite.rows), WORKING_DIRECTORY)
        labels = [_stored_label(column, stored) for column in columns]
        new = [c for c, label in zip(columns, labels, strict=True) if not label]
        if not {column.label for column in new} & {*stored, OR_OF_ALL}:
            break
    for column in new:
        _free(column.label, column.label, "detector", {*stored, OR_OF_ALL}, suite.name)
        if column.inspects:
            raise UserError(
                f"{column.label!r} judges models: no target has a score that could be compared",
                "remedy: run a suite with rows of `fine-tuning` that names it under [[detectors]]",
            )
    names = [label or c.label for c, label in zip(columns, labels, strict=True)]
    return replace(suite, columns=(*suite.columns, *new)), names


def _stored_label(column: Column, stored: Mapping[str, Component]) -> str:
    """Return the label of the suite's column with the same detector and parameters, or ""."""
    return next((label for label, old in stored.items() if old == column.detector), "")


def _free(short: str, text: str, kind: str, taken: set[str], suite: str) -> str:
    """Return the first of two names that is not taken.

    Raises:
        UserError: Both are.
    """
    for label in (short, text):
        if label not in taken:
            return label
    raise UserError(
        f"{suite} has the {kind} {text!r} already",
        f"remedy: other parameters in brackets, or `evil-twins table {suite}` to see it",
    )
