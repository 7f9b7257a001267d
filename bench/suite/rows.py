"""Make the rows of a suite from its tables of attacks, and check them with its columns."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan, nan, prod
from pathlib import Path
from typing import Any

from evil_twins.bench import printable
from evil_twins.bench.components import registry
from evil_twins.bench.components.component import Component
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.store.levels import BENIGN
from evil_twins.bench.suite.columns import Column
from evil_twins.bench.suite.entry import SWEPT, check_axes, head
from evil_twins.bench.suite.extends import is_list_of_names
from evil_twins.bench.suite.sections import Targets

MOST_ROWS, MOST_PAIRS = 2**12, 2**14
"""Most rows, and most pairs of a row and a column: a file cannot ask for an endless plan."""


@dataclass(frozen=True)
class Row:
    """One row of the matrix: an attack with all its parameters.

    Attributes:
        label: Name of the attack in the suite.
        method: Name of the attack in `evil-twins list`, or its place.
        attack: The attack itself.
        count: Number of its targets, the first ones of the suite.
        scored: Whether the detectors see it; yardsticks for other attacks are often unscored.
        evade: Labels of the columns that the attacker knows and evades.
        kappa: Required efficacy; NaN if it has none, `BENIGN` for the text "benign".
        phi: Fidelity budget as a share of the smallest PGD radius; NaN if it has none.
        lam: Weight of the fidelity loss; NaN if it has none.
    """

    label: str
    method: str
    attack: Component
    count: int
    scored: bool
    evade: tuple[str, ...]
    kappa: float
    phi: float
    lam: float

    @property
    def title(self) -> str:
        """Label and swept parameters of the row."""
        levels = {"κ": self.kappa, "φ": self.phi, "λ": self.lam}
        words = {symbol: f"{level:g}" for symbol, level in levels.items() if not isnan(level)}
        if self.kappa == BENIGN:
            words["κ"] = "benign"
        return " ".join([self.label, *(f"{symbol}={word}" for symbol, word in words.items())])


def check_size(
    attacks: Sequence[Mapping[str, Any]], detectors: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Check the number of rows and columns before they are made.

    Raises:
        UserError: There are too many.
    """
    lists = [[table[key] for key in SWEPT if isinstance(table.get(key), list)] for table in attacks]
    rows = sum(prod(map(len, swept)) for swept in lists)
    if rows > MOST_ROWS or rows * len(detectors) > MOST_PAIRS:
        raise UserError(
            f"{path.name}: {rows} rows of attacks and {len(detectors)} detectors are too many",
            f"expected: at most {MOST_ROWS} rows, and {MOST_PAIRS} pairs of a row and a detector",
        )


def most_columns(rows: Sequence[Row]) -> int:
    """Return the largest number of columns of a suite with these rows."""
    return MOST_PAIRS // max(1, len(rows))


def rows_of(table: Mapping[str, Any], most: int, path: Path) -> list[Row]:
    """Make one row for each combination of the listed kappa, phi and lam.

    Args:
        table: One of [[attacks]].
        most: Targets of the suite.
        path: File of the suite.

    Raises:
        UserError: It names no attack, or has a parameter that the attack cannot take.
    """
    label, method, parameters = head(table, "attack", path)

    def option(name: str, default: Any, sound: Callable[[Any], bool], expected: str) -> Any:
        value = parameters.pop(name, default)
        if not sound(value):
            where = f"{path.name}: {name} of attack {label!r} is {value!r}"
            raise UserError(where, f"expected: {expected}")
        return value

    whole = f"a whole number from 1 to targets.count, which is {most}"
    count = option("count", most, lambda n: type(n) is int and 1 <= n <= most, whole)
    scored = option("scored", True, lambda flag: type(flag) is bool, "true or false")
    names = "a list with the names of detectors of this suite"
    evade = option("evade", [], is_list_of_names, names)
    entry = registry.find("attack", method, path.parent)
    axes = {key: parameters[key] for key in SWEPT if isinstance(parameters.get(key), list)}
    check_axes(axes, "attack", label, path)
    rows, shown = [], printable.name(method)
    for values in product(*axes.values()):
        point = parameters | dict(zip(axes, values, strict=True))
        component = registry.configure(entry, point, "attack", label)
        rows.append(row_of(label, shown, component, count, scored, tuple(evade)))
    return rows


def row_of(
    label: str,
    method: str,
    component: Component,
    count: int,
    scored: bool = True,
    evade: tuple[str, ...] = (),
) -> Row:
    """Make the row of an attack with all its parameters; see `Row`."""
    attack = component.build()
    kappa = BENIGN if attack.kappa == "benign" else attack.kappa
    sweep = (kappa, attack.nature.phi, attack.nature.lam)
    numbers = [nan if value is None else float(value) for value in sweep]
    return Row(label, method, component, count, scored, evade, *numbers)


def check_matrix(rows: Sequence[Row], columns: Sequence[Column], path: Path) -> None:
    """Check that rows and columns of the suite in that path fit together.

    Raises:
        UserError: There are none, two have one name, no detector judges inputs, or an attack evades
            a detector that it cannot.
    """
    for names in ([row.title for row in rows], [column.label for column in columns]):
        if doubled := sorted(name for name, number in Counter(names).items() if number > 1):
            raise UserError(
                f"{path.name}: {doubled[0]!r} is listed twice",
                "remedy: give each another `name`",
            )
        if not names:
            raise UserError(
                f"{path.name} needs at least one attack and one detector",
                "remedy: add [[attacks]] and [[detectors]], each with a `method`",
            )
    _check_evaded(rows, columns, path)
    if all(column.inspects for column in columns):
        raise UserError(
            f"{path.name}: {columns[0].label!r} judges models, and no detector judges inputs",
            'remedy: add one that does, such as method = "confidence"',
        )


def _check_evaded(rows: Sequence[Row], columns: Sequence[Column], path: Path) -> None:
    from evil_twins.detectors.base import Evadable  # only reading a suite needs no torch

    detectors = {column.label: column.detector for column in columns}
    for row in rows:
        if row.evade and not row.attack.build().nature.evades:
            raise UserError(
                f"{path.name}: attack {row.label!r} cannot evade detectors",
                'remedy: method = "aware", or remove `evade`',
            )
        for label in row.evade:
            if label not in detectors:
                raise unknown(f"detector in evade of attack {row.label!r}", label, detectors)
            if not isinstance(detectors[label].build(), Evadable):
                raise UserError(
                    f"{path.name}: detector {label!r} offers no penalty for {row.label!r}",
                    "remedy: give its class a method `penalty`, see CONTRIBUTING.md; or take it "
                    "out of `evade`",
                )


def check_filled(row: Row, together: int, targets: Targets) -> None:
    """Check that the targets of a cell fill the groups that share a poisoned model.

    Raises:
        UserError: One group would be too small, or has a trigger and several goals.
    """
    nature = row.attack.build().nature
    serves = nature.serves
    if nature.trigger and (targets.same_goal % serves or targets.after % serves):
        raise UserError(
            f"attack {row.label!r}: a trigger serves {serves} targets; {targets.same_goal} share a "
            f"goal, after the first {targets.after}",
            "remedy: let `serves` divide targets.same_goal and targets.after",
        )
    if together % serves:
        raise UserError(
            f"attack {row.label!r}: a model serves {serves} targets; a cell has {together}",
            "remedy: let `serves` divide targets.shard, and targets.shard the number of targets",
        )
