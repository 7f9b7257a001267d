"""Read suites: whole experiments as TOML, checked before anything runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from evil_twins.bench.components.parameters import checked, mistake
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.subjects import forms, splits
from evil_twins.bench.subjects.splits import Splits
from evil_twins.bench.suite import extends, toml
from evil_twins.bench.suite.names import folder_name
from evil_twins.bench.suite.rows import Column, Row, check_matrix, check_size, column_of, rows_of

BUILT_IN = Path(__file__).parent / "built_in"
CHAIN = 8
"""Largest number of suites of which each extends the next."""
ARCHITECTURES = ("resnet18", "resnet101", "resnet18-narrow", "resnet-tiny")


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Victim(_Table):
    """The benign model.

    Attributes:
        architecture: One of `ARCHITECTURES`.
        seed: Seed of its training.
        recipe: Changes of the default `Recipe`.
        retraining: Parameters of adversarial training, or None for standard training.
        weights: A file of this architecture instead of training, relative to the suite, or None.
    """

    architecture: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    recipe: dict[str, Any] = {}
    retraining: dict[str, Any] | None = None
    weights: str | None = None

    @property
    def name(self) -> str:
        """Its name in the records."""
        return self.architecture + ("" if self.retraining is None else "-retrained")


class Difficulty(_Table):
    """The filter of targets by difficulty in the code of the paper's authors.

    Signed-gradient PGD towards the goal class, checked before each of its eight steps, must reach
    a confidence of 0.95, and not before it has taken three.

    Attributes:
        eps: The largest change of a pixel in [0, 1]; the authors' values are 8/255, and 2/255 for
            ImageNet.
        step: The change in one step; 1/255, and 0.25/255 for ImageNet.
    """

    eps: Annotated[float, Field(gt=0, le=1)] = 8 / 255
    step: Annotated[float, Field(gt=0, le=1)] = 1 / 255


class Targets(_Table):
    """The inputs that are attacked.

    Attributes:
        list: One of the two frozen lists; settings are chosen only on "development".
        count: Number of targets: the first of the list that the victim classifies correctly.
        after: Number of these that are skipped, so that a list can be used again with new targets.
        goals: "random", any other class, as in the paper's text; or "second", the most likely
            other class under the victim, as in the code of its authors.
        difficulty: Filter of targets that are too easy or too hard, or None.
        shard: Targets in one cell: the largest number of poisoned models held at once.
        benign: Benign images for the threshold, and as many for its check, under one faced model;
            fewer where the data set has not enough.
    """

    list: Literal["confirmatory", "development"] = "confirmatory"
    count: PositiveInt
    after: NonNegativeInt = 0
    goals: Literal["random", "second"] = "random"
    difficulty: Difficulty | None = None
    shard: PositiveInt = 32
    benign: PositiveInt = 20


class _File(_Table):
    name: str
    description: str = ""
    dataset: str
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    threads_per_cell: Annotated[int, Field(ge=1, le=1024)] = 1
    victim: Victim
    splits: dict[str, Any] = {}
    targets: Targets
    attacks: list[dict[str, Any]]
    detectors: list[dict[str, Any]]


@dataclass(frozen=True)
class Suite:
    """A suite without mistakes.

    Attributes:
        name: Name of its folder of results.
        description: Description in one line.
        dataset: One of `sets.names()`, or a data set of the user, as `forms.absolute` returns it.
        size: Height and width of resized images, or None for those of the data set.
        threads_per_cell: Threads of each cell; sums depend on them.
        victim: The benign model.
        weights: The file of its weights, or None if it is trained.
        splits: Shares of the splits of the test half.
        targets: The inputs that are attacked.
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
    """Return the suites of the package: name -> file."""
    return {path.stem: path for path in sorted(BUILT_IN.glob("*.toml"))}


def locate(name: str) -> Path:
    """Find the file of a suite.

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


def parse(path: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read the TOML of a suite, unchecked, merged with the suite that it extends.

    Args:
        path: The file.
        chain: Files of the suites that extend this one.

    Raises:
        UserError: The file is no TOML, or the suite that it extends cannot be read.
    """
    raw = toml.read(path)
    if "extends" not in raw:
        return raw
    base, chain = _base(raw["extends"], path), (*chain, path)
    if base in chain:
        raise UserError(
            f"{path.name} extends itself: {' -> '.join(file.name for file in (*chain, base))}\n"
            "remedy: let it extend another suite"
        )
    if len(chain) > CHAIN:
        raise UserError(
            f"{path.name}: more than {CHAIN} suites extend each other\n"
            "remedy: let it extend a suite that extends none"
        )
    return extends.merge(parse(base, chain), raw, path.name)


def _base(name: object, path: Path) -> Path:
    """Find the suite that a file extends: a built-in one, or a file in the same folder."""
    if not isinstance(name, str) or Path(name).name != name:
        raise UserError(
            f"{path.name}: extends {name!r}\n"
            "expected: the name of a built-in suite, or of a TOML file in the same folder"
        )
    return locate(str(path.with_name(name)) if name.endswith(".toml") else name)


def load(name: str) -> Suite:
    """Read a suite by name or path; check every name and every parameter.

    Raises:
        UserError: Anything in it is wrong.
    """
    path = locate(name)
    raw = parse(path)
    _check_keys(raw, _File.model_fields, path.name)
    for key, keys in (
        ("victim", Victim.model_fields),
        ("splits", splits.NAMES),
        ("targets", Targets.model_fields),
    ):
        if isinstance(raw.get(key), dict):
            _check_keys(raw[key], keys, f"{path.name} [{key}]")
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        raise mistake(error, path.name) from error
    folder_name(file.name, path.name)
    dataset = forms.absolute(file.dataset, path.parent)
    if file.victim.architecture not in ARCHITECTURES:
        raise unknown("architecture", file.victim.architecture, ARCHITECTURES)
    check_size(file.attacks, file.detectors, path)
    rows = [row for table in file.attacks for row in rows_of(table, file.targets.count, path)]
    columns = [column_of(table, path) for table in file.detectors]
    check_matrix(rows, columns, path)
    shared = {key: value for key, value in file if key not in extends.ENTRIES}
    shared["dataset"] = dataset
    shared["splits"] = checked(Splits, file.splits, f"{path.name}: splits")
    weights = _weights(file.victim, path)
    return Suite(**shared, weights=weights, rows=tuple(rows), columns=tuple(columns))


def _weights(victim: Victim, path: Path) -> Path | None:
    if victim.weights is None:
        return None
    if victim.recipe or victim.retraining is not None:
        raise UserError(
            f"{path.name}: a victim with `weights` is not trained and needs no recipe\n"
            "remedy: remove `weights`, or `recipe` and `retraining`, from [victim]"
        )
    return (path.parent / Path(victim.weights).expanduser()).absolute()


def _check_keys(raw: Mapping[str, Any], names: Collection[str], where: str) -> None:
    for key in raw:
        if key not in names:
            raise unknown(f"key in {where}", key, names)
