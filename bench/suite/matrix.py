"""The rows and columns of a suite, from its tables of attacks and detectors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import isnan, nan
from pathlib import Path
from typing import Any

from evil_twins.bench.components import registry
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.names import parted
from evil_twins.bench.errors import UserError, unknown

SWEPT = ("kappa", "phi", "lam")
"""Parameters of an attack for which a list stands for one row each."""


@dataclass(frozen=True)
class Row:
    """One row of the matrix: an attack with all its parameters.

    Attributes:
        label: What the suite calls the attack.
        method: Its name.
        attack: The attack itself.
        count: How many targets it attacks, the first ones of the suite's.
        scored: Whether the detectors see it; a yardstick for other attacks need not be.
        evade: Labels of the columns that the attacker knows, and evades.
        kappa: Required efficacy; NaN if it has none.
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
        """The row in words."""
        pairs = (("κ", self.kappa), ("φ", self.phi), ("λ", self.lam))
        return " ".join([self.label, *(f"{k}={v:g}" for k, v in pairs if not isnan(v))])


@dataclass(frozen=True)
class Column:
    """One column of the matrix: a detector with all its parameters."""

    label: str
    detector: Component

    @property
    def inspects(self) -> bool:
        """Whether it judges models, so that no input has a score."""
        from evil_twins.detectors.base import Detector  # what only reads a suite waits for no torch

        return not isinstance(self.detector.build(), Detector)


def _head(table: Mapping[str, Any], kind: str, path: Path) -> tuple[str, str, dict[str, Any]]:
    """Label, method and the parameters that are left."""
    method, label = table.get("method"), table.get("name", table.get("method"))
    if not isinstance(method, str) or not isinstance(label, str):
        raise UserError(
            f"{path.name}: one of [[{kind}s]] has no `method`, or one that is no text\n"
            f"remedy: give it one of the {kind}s of `evil-twins list`, and `name` as a text"
        )
    method, own = parted(method)
    given = {k: v for k, v in table.items() if k not in ("name", "method")}
    if twice := sorted(own.keys() & given.keys()):
        raise UserError(
            f"{path.name}: {kind} {label!r} has {twice[0]} in its `method` and beside it\n"
            "remedy: remove one of them"
        )
    return label, method, own | given


def rows_of(table: Mapping[str, Any], most: int, path: Path) -> list[Row]:
    """One row for each combination of the listed kappa, phi and lam.

    Args:
        table: One of [[attacks]].
        most: Targets of the suite.
        path: Of the suite.

    Raises:
        UserError: It names no attack, or gives it what it cannot take.
    """
    label, method, given = _head(table, "attack", path)
    count = given.pop("count", most)
    if type(count) is not int or not 1 <= count <= most:
        raise UserError(
            f"{path.name}: count of attack {label!r} is {count!r}\n"
            f"expected: a whole number from 1 to targets.count, which is {most}"
        )
    scored = given.pop("scored", True)
    if type(scored) is not bool:
        raise UserError(
            f"{path.name}: scored of attack {label!r} is {scored!r}\nexpected: true or false"
        )
    evade = given.pop("evade", [])
    if not isinstance(evade, list) or not all(isinstance(name, str) for name in evade):
        raise UserError(
            f"{path.name}: evade of attack {label!r} is {evade!r}\n"
            "expected: a list with the names of detectors of this suite"
        )
    found = registry.find("attack", method, path.parent)
    axes = {key: given[key] for key in SWEPT if isinstance(given.get(key), list)}
    if empty := [key for key, values in axes.items() if not values]:
        raise UserError(
            f"{path.name}: {empty[0]} of attack {label!r} is an empty list\n"
            "remedy: give it one value or more"
        )
    rows = []
    for values in product(*axes.values()):
        point = given | dict(zip(axes, values, strict=True))
        component = registry.configure(found, point, "attack", label)
        row = _row(label, method, component, count, scored)
        rows.append(replace(row, evade=tuple(evade)))
    return rows


def _row(label: str, method: str, component: Component, count: int, scored: bool) -> Row:
    attack = component.build()
    sweep = (attack.kappa, attack.nature.phi, attack.nature.lam)
    numbers = [nan if value is None else float(value) for value in sweep]
    return Row(label, method, component, count, scored, (), *numbers)


def column_of(table: Mapping[str, Any], path: Path) -> Column:
    """One of [[detectors]] in the suite of that path.

    Raises:
        UserError: It names no detector, or gives it what it cannot take.
    """
    label, method, given = _head(table, "detector", path)
    found = registry.find("detector", method, path.parent)
    return Column(label, registry.configure(found, given, "detector", label))


def check_evaded(rows: Iterable[Row], columns: Iterable[Column], path: Path) -> None:
    """See that rows evade columns of the suite in that path, and that both sides can.

    Raises:
        UserError: The attack takes no penalties, there is no such column, or it offers none.
    """
    from evil_twins.detectors.base import Evadable  # what only reads a suite waits for no torch

    known = {column.label: column for column in columns}
    for row in rows:
        if row.evade and not row.attack.build().nature.evades:
            raise UserError(
                f"{path.name}: attack {row.label!r} cannot evade detectors\n"
                'remedy: method = "aware", or remove `evade`'
            )
        for label in row.evade:
            if label not in known:
                raise unknown(f"detector in evade of attack {row.label!r}", label, known)
            if not isinstance(known[label].detector.build(), Evadable):
                raise UserError(
                    f"{path.name}: detector {label!r} offers no penalty for {row.label!r}\n"
                    "remedy: give its class a method `penalty`, see CONTRIBUTING.md; or take it "
                    "out of `evade`"
                )


def check_filled(row: Row, together: int) -> None:
    """See that the targets of a cell fill the groups of those that one poisoned model serves.

    Raises:
        UserError: One group would stay too small.
    """
    serves = row.attack.build().nature.serves
    if together % serves:
        raise UserError(
            f"attack {row.label!r}: a model serves {serves} targets; a cell has {together}\n"
            "remedy: let `serves` divide targets.shard, and it the number of targets"
        )
