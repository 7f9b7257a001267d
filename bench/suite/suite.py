"""Suites: a whole experiment as data, read from TOML and checked before anything runs."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from evil_twins.bench.components.parameters import mistake
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.subjects.splits import USUAL, Splits
from evil_twins.bench.suite.matrix import Column, Row, check_evaded, column_of, rows_of

BUILT_IN = Path(__file__).parent / "built_in"
DATASETS = ("digits", "fashion-mnist", "cifar10", "gtsrb", "isic2018", "folder")
ARCHITECTURES = ("resnet18", "resnet101", "resnet18-narrow", "resnet-tiny")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Victim(_Table):
    """The benign model.

    Attributes:
        architecture: What it is.
        seed: Of its training.
        recipe: How its training departs from the usual one.
        retraining: How its training images are bent; None: not at all.
        weights: A file of this architecture to take instead of training, beside the suite.
    """

    architecture: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    recipe: dict[str, Any] = {}
    retraining: dict[str, Any] | None = None
    weights: str | None = None

    @property
    def name(self) -> str:
        """What the records call it."""
        return self.architecture + ("" if self.retraining is None else "-retrained")


class Difficulty(_Table):
    """How hard a target must be and may be, as the code of the paper's authors has it.

    Signed-gradient PGD towards the goal class, looked at before each of its eight steps, must
    reach a confidence of 0.95, and not before it has taken three.

    Attributes:
        eps: The largest change of a pixel in [0, 1]; the authors took 8/255, and 2/255 for
            ImageNet.
        step: The change in one step; 1/255, and 0.25/255 for ImageNet.
    """

    eps: Annotated[float, Field(gt=0, le=1)] = 8 / 255
    step: Annotated[float, Field(gt=0, le=1)] = 1 / 255


class Targets(_Table):
    """Which inputs are attacked.

    Attributes:
        list: One of the two frozen lists; settings are chosen on "development" alone.
        count: How many, the first of the list that the victim classifies correctly,
        after: but for so many of these: so a list serves again with targets that none has seen.
        goals: "random", any other class, as the paper's text has it; or "second", the most likely
            other class under the victim, as the code of its authors had it.
        difficulty: Which of them are left out for being too easy or too hard; None for no one.
        shard: Targets in one cell: at most so many poisoned models are held at once.
        benign: Benign images for the threshold, and as many for its check, under one faced model;
            fewer where the data set does not hold so many for each.
    """

    list: Literal["confirmatory", "development"] = "confirmatory"
    count: PositiveInt
    after: NonNegativeInt = 0
    goals: Literal["random", "second"] = "random"
    difficulty: Difficulty | None = None
    shard: PositiveInt = 32
    benign: PositiveInt = 20


class _File(_Table):
    name: Annotated[str, Field(max_length=100)]
    description: str = ""
    dataset: str
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    threads_per_cell: Annotated[int, Field(ge=1, le=1024)] = 1
    victim: Victim
    splits: Splits = USUAL
    targets: Targets
    attacks: list[dict[str, Any]]
    detectors: list[dict[str, Any]]


@dataclass(frozen=True)
class Suite:
    """A suite that is known to be sound.

    Attributes:
        name: Of its folder of results.
        description: In one line.
        dataset: One of `DATASETS`.
        size: Height and width to which images are resized, or None: as the data set has it.
        threads_per_cell: On which each cell computes; sums depend on it, the number of cells at
            the same time does not count.
        victim: The benign model.
        weights: The file of its weights, if it is not trained.
        splits: Into what shares the test half of the data set is cut.
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
    weights: Path | None
    splits: Splits
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
    for key, table in (("victim", Victim), ("splits", Splits), ("targets", Targets)):
        if isinstance(raw.get(key), dict):
            _known(raw[key], table, f"{path.name} [{key}]")
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise mistake(error, path.name) from error
    if not (file.name and file.name.isprintable()) or re.match(r"\.|.*[/\\]", file.name):
        raise UserError(
            f"{path.name}: name {file.name!r} cannot be the name of a folder\n"
            "remedy: printable characters without / and \\, and no dot in front"
        )
    _member("data set", file.dataset, DATASETS)
    _member("architecture", file.victim.architecture, ARCHITECTURES)
    rows = [row for table in file.attacks for row in rows_of(table, file.targets.count, path)]
    columns = [column_of(table, path) for table in file.detectors]
    _distinct([row.title for row in rows], path)
    _distinct([column.label for column in columns], path)
    check_evaded(rows, columns, path)
    if all(column.inspects for column in columns):
        raise UserError(
            f"{path.name}: {columns[0].label!r} judges models, and no detector judges inputs\n"
            'remedy: add one that does, such as method = "confidence"'
        )
    return Suite(
        file.name,
        file.description,
        file.dataset,
        file.size,
        file.threads_per_cell,
        file.victim,
        _weights(file.victim, path),
        file.splits,
        file.targets,
        tuple(rows),
        tuple(columns),
    )


def _weights(victim: Victim, path: Path) -> Path | None:
    if victim.weights is None:
        return None
    if victim.recipe or victim.retraining is not None:
        raise UserError(
            f"{path.name}: a victim with `weights` is not trained and needs no recipe\n"
            "remedy: remove `weights`, or `recipe` and `retraining`, from [victim]"
        )
    return (path.parent / Path(victim.weights).expanduser()).absolute()


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
