"""Suites: a whole experiment as data, read from TOML and checked before anything runs."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan, nan
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from bench import components
from bench.components import Component
from bench.errors import UserError, unknown

BUILT_IN = Path(__file__).parent / "suites"
DATASETS = ("digits", "fashion-mnist", "cifar10", "gtsrb", "folder")
ARCHITECTURES = ("resnet18", "resnet101", "resnet18-narrow", "resnet-tiny")
SWEPT = ("kappa", "phi", "lam")
"""Parameters of an attack for which a list stands for one row each."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Victim(_Table):
    """The benign model: what it is, and how its training departs from the recipe."""

    architecture: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    recipe: dict[str, Any] = {}


class Targets(_Table):
    """Which inputs are attacked.

    Attributes:
        list: One of the two frozen lists; settings are chosen on "development" alone.
        count: How many, the first of the list that the victim classifies correctly.
        goals: How the goal classes are drawn.
        shard: Targets in one cell: at most so many poisoned models are held at once.
        benign: Benign images for the threshold, and as many for its check, under one faced model;
            fewer where the data set does not hold so many for each.
    """

    list: Literal["confirmatory", "development"] = "confirmatory"
    count: PositiveInt
    goals: Literal["random"] = "random"
    shard: PositiveInt = 64
    benign: PositiveInt = 20


class _File(_Table):
    name: Annotated[str, Field(max_length=100)]
    description: str = ""
    dataset: str
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    threads_per_cell: Annotated[int, Field(ge=1, le=1024)] = 1
    victim: Victim
    targets: Targets
    attacks: list[dict[str, Any]]
    detectors: list[dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """One row of the matrix: an attack with all its parameters.

    Attributes:
        label: What the suite calls the attack.
        method: Its name.
        attack: The attack itself.
        count: How many targets it attacks, the first ones of the suite's.
        kappa: Required efficacy; NaN if it has none.
        phi: Fidelity budget as a share of the smallest PGD radius; NaN if it has none.
        lam: Weight of the fidelity loss; NaN if it has none.
    """

    label: str
    method: str
    attack: Component
    count: int
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


@dataclass(frozen=True)
class Suite:
    """A suite that is known to be sound.

    Attributes:
        name: Of its folder of results.
        description: In one line.
        dataset: One of `DATASETS`.
        size: Height and width to which images of a folder are resized, or None.
        threads_per_cell: On which each cell computes; sums depend on it, the number of cells at
            the same time does not count.
        victim: The benign model.
        targets: Which inputs are attacked.
        rows: The attacks.
        columns: The detectors.
    """

    name: str
    description: str
    dataset: str
    size: int | None
    threads_per_cell: int
    victim: Victim
    targets: Targets
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]


def built_in() -> dict[str, Path]:
    """The suites that come with the package."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.toml"))}


def locate(name: str) -> Path:
    """The file of a suite.

    Args:
        name: A built-in suite, or the path of a TOML file.

    Raises:
        UserError: There is no such suite.
    """
    if not name.endswith(".toml"):
        if name not in built_in():
            raise unknown("suite", name, built_in())
        return built_in()[name]
    path = Path(name)
    if not path.is_file():
        raise UserError(f"there is no suite {name}\nexpected: a TOML file, or a built-in suite")
    return path


def parse(path: Path) -> dict[str, Any]:
    """The TOML of a suite, unchecked.

    Raises:
        UserError: The file is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a readable TOML file\nremedy: mend it: {error}") from error


def load(name: str) -> Suite:
    """A suite by name or path, every name and every parameter in it checked.

    Raises:
        UserError: Anything in it is wrong.
    """
    path = locate(name)
    raw = parse(path)
    _known(raw, _File, path.name)
    for key, table in (("victim", Victim), ("targets", Targets)):
        if isinstance(raw.get(key), dict):
            _known(raw[key], table, f"{path.name} [{key}]")
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise components.mistake(error, path.name) from error
    if not (file.name and file.name.isprintable()) or re.match(r"\.|.*[/\\]", file.name):
        raise UserError(
            f"{path.name}: name {file.name!r} cannot be the name of a folder\n"
            "remedy: printable characters without / and \\, and no dot in front"
        )
    _member("data set", file.dataset, DATASETS)
    _member("architecture", file.victim.architecture, ARCHITECTURES)
    rows = [row for table in file.attacks for row in _rows(table, file.targets.count, path)]
    columns = [_column(table, path) for table in file.detectors]
    _distinct([row.title for row in rows], path)
    _distinct([column.label for column in columns], path)
    shared = file.model_dump(include={"name", "description", "dataset", "size", "threads_per_cell"})
    return Suite(
        **shared, victim=file.victim, targets=file.targets, rows=tuple(rows), columns=tuple(columns)
    )


def _known(raw: Mapping[str, Any], table: type[BaseModel], where: str) -> None:
    for key in raw:
        if key not in table.model_fields:
            raise unknown(f"key in {where}", key, table.model_fields)


def _member(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise unknown(kind, name, known)


def _distinct(names: Sequence[str], path: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path.name}: {twice[0]!r} stands twice\nremedy: give each its own `name`")
    if not names:
        raise UserError(
            f"{path.name} needs at least one attack and one detector\n"
            "remedy: add [[attacks]] and [[detectors]], each with a `method`"
        )


def _head(table: Mapping[str, Any], kind: str, path: Path) -> tuple[str, str, dict[str, Any]]:
    """Label, method and the parameters that are left."""
    method, label = table.get("method"), table.get("name", table.get("method"))
    if not isinstance(method, str) or not isinstance(label, str):
        raise UserError(
            f"{path.name}: one of [[{kind}s]] has no `method`, or one that is no text\n"
            f"remedy: give it one of the {kind}s of `evil-twins list`, and `name` as a text"
        )
    return label, method, {k: v for k, v in table.items() if k not in ("name", "method")}


def _rows(table: Mapping[str, Any], most: int, path: Path) -> list[Row]:
    """One row for each combination of the listed kappa, phi and lam.

    Args:
        table: As the suite gives it.
        most: Targets of the suite.
        path: Of the suite.
    """
    label, method, given = _head(table, "attack", path)
    count = given.pop("count", most)
    if type(count) is not int or not 1 <= count <= most:
        raise UserError(
            f"{path.name}: count of attack {label!r} is {count!r}\n"
            f"expected: a whole number from 1 to targets.count, which is {most}"
        )
    found = components.find("attack", method, path.parent)
    axes = {key: given[key] for key in SWEPT if isinstance(given.get(key), list)}
    if empty := [key for key, values in axes.items() if not values]:
        raise UserError(
            f"{path.name}: {empty[0]} of attack {label!r} is an empty list\n"
            "remedy: give it one value or more"
        )
    rows = []
    for values in product(*axes.values()):
        point = given | dict(zip(axes, values, strict=True))
        component = components.configure(found, point, "attack", label)
        rows.append(_row(label, method, component, count))
    return rows


def _row(label: str, method: str, component: Component, count: int) -> Row:
    attack = component.build()
    unit = attack.radii_from
    kappa = attack.kappa if unit is None or attack.kappa is not None else unit.kappa
    fixed = {"pgd": 1.0, "poisoning": 0.0, "rank-one-head": 0.0, "convex-head": 0.0}
    phi = component.parameters.get("phi", fixed.get(method))
    lam = component.parameters.get("lam")
    numbers = [nan if value is None else float(value) for value in (kappa, phi, lam)]
    return Row(label, method, component, count, *numbers)


def _column(table: Mapping[str, Any], path: Path) -> Column:
    label, method, given = _head(table, "detector", path)
    found = components.find("detector", method, path.parent)
    return Column(label, components.configure(found, given, "detector", label))
