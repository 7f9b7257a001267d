"""Read suites: whole experiments as TOML, checked before anything runs."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from evil_twins.bench.components.parameters import checked, mistake
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.subjects import forms, splits
from evil_twins.bench.subjects.durability import Treatments
from evil_twins.bench.subjects.networks.network import FORMS, PROGRAMS, Network
from evil_twins.bench.subjects.networks.network import locate as locate_network
from evil_twins.bench.subjects.splits import Splits
from evil_twins.bench.suite import extends, toml
from evil_twins.bench.suite.columns import Column, columns_of
from evil_twins.bench.suite.names import folder_name
from evil_twins.bench.suite.rows import Row, check_matrix, check_size, most_columns, rows_of
from evil_twins.bench.suite.sections import Section, Targets, Victim

BUILT_IN = Path(__file__).parent / "built_in"
CHAIN = 8
"""Largest number of suites of which each extends the next."""
ARCHITECTURES = ("resnet18", "resnet101", "resnet18-narrow", "resnet-tiny")

PRECISIONS = ("float32", "float64")


class _File(Section):
    name: str
    description: str = ""
    dataset: str
    size: Annotated[int, Field(ge=1, le=4096)] | None = None
    threads_per_cell: Annotated[int, Field(ge=1, le=1024)] = 1
    precision: str = PRECISIONS[0]
    victim: Victim
    splits: Annotated[dict[str, Any], Field(default_factory=dict)]
    targets: Targets
    durability: dict[str, Any] | None = None
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
        precision: "float32" or "float64", the type in which all is computed.
        victim: The benign model, or the recipe of several.
        network: Its code, if it is not of this project.
        weights: The file of the weights of each victim; none if they are trained.
        splits: Shares of the splits of the test half.
        targets: The inputs that are attacked.
        durability: The treatments after which each attack is measured again, or None.
        rows: The attacks.
        columns: The detectors.
    """

    name: str
    description: str
    dataset: str
    size: int | None
    threads_per_cell: int
    precision: str
    victim: Victim
    network: Network | None
    weights: tuple[Path, ...]
    splits: Splits
    targets: Targets
    durability: Treatments | None
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]

    @property
    def seeds(self) -> range:
        """The seed of each victim."""
        first = self.victim.seed
        return range(first, first + (len(self.weights) or self.victim.count))


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
    path = Path(name).absolute()
    if not path.is_file():
        raise UserError(
            f"there is no suite {name}: {path} is no file",
            "expected: a TOML file, or a built-in suite",
        )
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
            f"{path.name} extends itself: {' -> '.join(file.name for file in (*chain, base))}",
            "remedy: let it extend another suite",
        )
    if len(chain) > CHAIN:
        raise UserError(
            f"{path.name}: more than {CHAIN} suites extend each other",
            "remedy: let it extend a suite that extends none",
        )
    return extends.merge(parse(base, chain), raw, path.name)


def _base(name: object, path: Path) -> Path:
    """Find the suite that a file extends: a built-in one, or a file in the same folder."""
    if not isinstance(name, str) or Path(name).name != name:
        raise UserError(
            f"{path.name}: extends {name!r}",
            "expected: the name of a built-in suite, or of a TOML file in the same folder",
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
    if file.precision not in PRECISIONS:
        raise unknown("precision", file.precision, PRECISIONS)
    dataset = forms.absolute(file.dataset, path.parent)
    network = _network(file.victim, path)
    check_size(file.attacks, file.detectors, path)
    rows = [row for table in file.attacks for row in rows_of(table, file.targets.count, path)]
    columns: list[Column] = []
    for table in file.detectors:
        columns += columns_of(table, most_columns(rows) - len(columns), path)
    check_matrix(rows, columns, path)
    shared: dict[str, Any] = {key: value for key, value in file if key not in extends.ENTRIES}
    shared["dataset"] = dataset
    shared["splits"] = checked(Splits, file.splits, f"{path.name}: splits")
    if file.durability is not None:
        shared["durability"] = checked(Treatments, file.durability, f"{path.name}: [durability]")
    weights = _weights(file.victim, path)
    shared |= {"network": network, "weights": weights}
    return Suite(**shared, rows=tuple(rows), columns=tuple(columns))


def _network(victim: Victim, path: Path) -> Network | None:
    """Return the code of a victim's network, or None for one of this project."""
    if not victim.architecture.endswith((".py", *PROGRAMS)) and ":" not in victim.architecture:
        if victim.architecture not in ARCHITECTURES:
            raise unknown("architecture", victim.architecture, (*ARCHITECTURES, *FORMS))
        if victim.normalise or victim.classes:
            raise UserError(
                f"{path.name}: {victim.architecture!r} normalises by itself",
                "remedy: remove `normalise` and `classes` from [victim]",
            )
        return None
    if victim.classes and not victim.weights and not victim.architecture.endswith(PROGRAMS):
        raise UserError(
            f"{path.name}: a victim that is trained has the classes of the data",
            "remedy: remove `classes` from [victim], or name its `weights`",
        )
    numbers = victim.normalise
    scale = (numbers.mean, numbers.std) if numbers else ((), ())
    return Network(locate_network(victim.architecture, path.parent), *scale, victim.classes)


def _weights(victim: Victim, path: Path) -> tuple[Path, ...]:
    if victim.architecture.endswith(PROGRAMS):
        if victim.weights or victim.recipe or victim.count > 1:
            raise UserError(
                f"{path.name}: {victim.architecture!r} brings its weights, those of one victim",
                "remedy: remove `weights`, `recipe` and `count` from [victim]",
            )
        return (Path(locate_network(victim.architecture, path.parent)),)
    if not victim.weights:
        return ()
    if victim.recipe or victim.retraining is not None:
        raise UserError(
            f"{path.name}: a victim with `weights` is not trained and needs no recipe",
            "remedy: remove `weights`, or `recipe` and `retraining`, from [victim]",
        )
    if victim.count not in (1, len(victim.weights)):
        raise UserError(
            f"{path.name}: {victim.count} victims, and {len(victim.weights)} files of weights",
            "remedy: remove `count` from [victim], by drop = ['victim.count'] if it is inherited",
        )
    return tuple((path.parent / Path(name).expanduser()).absolute() for name in victim.weights)


def _check_keys(raw: Mapping[str, Any], names: Collection[str], where: str) -> None:
    for key in raw:
        if key not in names:
            raise unknown(f"key in {where}", key, names)
