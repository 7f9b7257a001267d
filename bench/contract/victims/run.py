"""`evil-twins check --model`: judge a network by every clause of a victim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.contract.clause import Verdict
from evil_twins.bench.contract.judging import Result, World, elsewhere, judged, show
from evil_twins.bench.contract.victims.accuracy import ACCURACY
from evil_twins.bench.contract.victims.case import ModelCase
from evil_twins.bench.contract.victims.origins import OfMemory, OfOthers, OfOurs, Origin
from evil_twins.bench.contract.victims.parts import PARTS
from evil_twins.bench.contract.victims.passes import PASSES
from evil_twins.bench.contract.victims.rows import ROWS
from evil_twins.bench.errors import UserError
from evil_twins.bench.run import guard
from evil_twins.bench.run.score_request import network_of, shape_of
from evil_twins.bench.subjects import data, weights
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.subjects.networks import probes, states
from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.suite import ARCHITECTURES, Suite

CLAUSES = (*PASSES, *ACCURACY, *PARTS, *ROWS)


@dataclass(frozen=True)
class Request:
    """The arguments of `check --model`, as they are typed.

    Attributes:
        model: An architecture of this project, or in one of the `FORMS` of `Network`.
        weights: The file of its weights, or None.
        normalise: Means and deviations, or None.
        classes: Names of its outputs with commas between them, or None.
        shape: The shape of its images, or None for that of the data.
        data: A data set, as in suites, or None.
        suite: The suite with attacks and detectors.
        device: "cpu" or "cuda".
        folder: Where data sets with a name lie, or None for the default folder.
    """

    model: str
    weights: Path | None = None
    normalise: str | None = None
    classes: str | None = None
    shape: str | None = None
    data: str | None = None
    suite: str = "quick"
    device: str = "cpu"
    folder: Path | None = None

    def case(self) -> ModelCase:
        """Read the data, and return the case; the network is not built yet.

        Raises:
            UserError: An option is wrong, or the data cannot be read.
        """
        rows, shape = suite.load(self.suite), shape_of(self.shape) if self.shape else None
        dataset = self._dataset(rows, shape)
        classes = dataset.classes if dataset else None
        origin = self._origin(classes, dataset)
        if dataset:
            return _on_data(origin, dataset, rows, self.device)
        images = probes.noise(shape or self._stored_shape())
        return ModelCase(origin, images, rows, device=self.device)

    def _dataset(self, rows: Suite, shape: tuple[int, int, int] | None) -> Dataset | None:
        if self.data is None:
            return None
        size = shape[1] if shape else None
        return data.load(self.data, self.folder, size=size, splits=rows.splits)

    def _origin(self, classes: Sequence[str] | None, dataset: Dataset | None) -> Origin:
        """Return where the network comes from, with the number of its outputs."""
        names = tuple(name.strip() for name in self.classes.split(",")) if self.classes else ()
        if self.model in ARCHITECTURES:
            return self._ours(names, classes)
        network = network_of(self.model, self.normalise)
        network = replace(network, outputs=names)
        if network.is_program:
            if self.weights is not None:
                raise UserError(f"{self.model} brings its weights", "remedy: remove --weights")
            place: Path | None = Path(network.place)
        else:
            place = self.weights
        count = len(names) or len(classes or ()) or None
        if count is None and not network.is_program:
            if place is None:
                raise _unknown_classes(self.model)
            count = states.outputs(states.read(place))
        return OfOthers(network, place, count)

    def _ours(self, names: Sequence[str], classes: Sequence[str] | None) -> Origin:
        if self.normalise or (names and self.weights):
            raise UserError(
                f"{self.model!r} normalises by itself, and has the classes of the data",
                "remedy: remove --normalise and --classes",
            )
        count = len(names) or len(classes or ())
        if self.weights is None and not count:
            raise _unknown_classes(self.model)
        return OfOurs(self.model, self.weights, count)

    def _stored_shape(self) -> tuple[int, int, int]:
        if self.model in ARCHITECTURES and self.weights is not None:
            return weights.load(self.weights, None).shape
        raise UserError(
            f"the shape of the images of {self.model} is not known",
            "remedy: give its data by --data, or --shape, such as 3,32,32",
        )


def _unknown_classes(model: str) -> UserError:
    return UserError(
        f"the number of classes of {model} is not known",
        "remedy: give its data by --data, its file by --weights, or names by --classes",
    )


def _on_data(origin: Origin, dataset: Dataset, rows: Suite, device: str) -> ModelCase:
    """Return the case of a network and a data set in splits."""
    parts = [dataset.split(name) for name in ("fit", "calibration", "fpr", "heldout")]
    test = _joined(parts)
    return ModelCase(origin, dataset.train, rows, dataset.classes, test, dataset, device)


def _joined(parts: Iterable[Images]) -> Images:
    """Return the images of several splits."""
    import torch

    splits = list(parts)
    ids = tuple(name for images in splits for name in images.ids)
    pixels = torch.cat([images.pixels for images in splits])
    return Images(ids, pixels, torch.cat([images.label for images in splits]))


def check(request: Request, limit: float, *, as_json: bool = False) -> int:
    """Judge a network by the contract of a victim, and print one line for each clause.

    Args:
        request: The network, its data and its suite.
        limit: Seconds that each clause may take.
        as_json: Whether to print JSON in place of lines.

    Returns:
        0 if every clause is kept, with or without warnings; 1 if one is not.

    Raises:
        UserError: An option is wrong, or the data cannot be read.
    """
    setting = World("data and suite", prepare, (request,))
    results = elsewhere(setting, CLAUSES, look, (request,), limit)
    try:
        return show(results, len(CLAUSES), f"victim {request.model}", as_json=as_json)
    except guard.Lost as lost:
        raise UserError(f"the data cannot be read: {lost.why}", "remedy: other data") from lost


@lru_cache(maxsize=1)
def _case(request: Request) -> ModelCase:
    return request.case()


def prepare(request: Request) -> None:
    """Read data and suite, and keep them in this process."""
    _case.cache_clear()  # a file may have changed since
    _case(request)


def look(request: Request, number: int) -> Verdict:
    """Judge one clause; later clauses use the results of the case."""
    with exact(request.device):
        return CLAUSES[number].judge(_case(request))


def check_model(
    network: MemoryNetwork,
    data_or_shape: Dataset | tuple[int, int, int],
    suite_name: str = "quick",
    device: str = "cpu",
) -> list[Result]:
    """Judge a network in memory by the contract of a victim; it stays as it is.

    Args:
        network: The network.
        data_or_shape: Its data, or the shape (C, H, W) of its images.
        suite_name: The suite whose attacks and detectors are considered.
        device: "cpu" or "cuda".

    Returns:
        The result of each clause, but of those that rest on a failed one.

    Raises:
        UserError: There is no such suite.
    """
    rows = suite.load(suite_name)
    if isinstance(data_or_shape, Dataset):
        origin = OfMemory(network, len(network.outputs or data_or_shape.classes))
        case = _on_data(origin, data_or_shape, rows, device)
    else:
        case = ModelCase(OfMemory(network), probes.noise(data_or_shape), rows, device=device)
    with exact(device):
        return list(judged(CLAUSES, lambda number: CLAUSES[number].judge(case)))
