"""Collect the cells of a suite, and check the suite against its data."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.parameters import checked
from evil_twins.bench.components.precision import SINGLE
from evil_twins.bench.components.source_code import closure, code_of
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.data_size import check_channels, check_classes, check_splits
from evil_twins.bench.run.network_fit import check_network
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.subjects import forms, weights
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.retraining import Retraining
from evil_twins.bench.subjects.splits import USUAL
from evil_twins.bench.subjects.victims import Recipe
from evil_twins.bench.suite.suite import Suite


class Planner:
    """The cells of a suite, to which each of its victims adds its own."""

    def __init__(self, suite: Suite, data: Dataset, device: str) -> None:
        self.suite, self.data = suite, data
        check_classes(suite, data)
        check_splits(suite, data)
        check_channels(suite, data)
        self.doubts = tuple(check_network(suite, data))
        per_target = min(len(data.calibration), len(data.fpr)) // suite.targets.count
        self.benign = min(suite.targets.benign, per_target)
        self.dataset: dict[str, Any] = {"name": data.name, "size": suite.size}
        self.dataset["digest"] = data.digest
        if file := forms.code_file(suite.dataset):
            self.dataset["code"] = closure(file).digest
        if suite.splits != USUAL:
            self.dataset["splits"] = asdict(suite.splits)
        self.shared = {"dataset": self.dataset, "device": device, "threads": suite.threads_per_cell}
        if suite.precision != SINGLE:
            self.shared["precision"] = suite.precision
        self.cells: dict[str, Cell] = {}
        self.sources: dict[tuple[str, ...], str] = {}

    def add(self, cell: Cell) -> str:
        """Add a cell, unless there is an equal one, and return its key."""
        cell = replace(cell, network=self.suite.network)
        return self.cells.setdefault(cell.key, cell).key

    def source(self, kind: str, *components: Component) -> str:
        """Return the SHA-256 of the code of cells of this kind with these components."""
        places = (kind, *(component.place for component in components))
        if places not in self.sources:
            network = self.suite.network.source if self.suite.network else None
            code = code_of(kind, self.dataset, *components, network=network)
            self.sources[places] = code.digest
        return self.sources[places]

    def victim(self, seed: int, path: Path | None) -> str:
        """Add a victim, which depends on no draw of the test half."""
        model, network = self.suite.victim, self.suite.network
        spec = self.shared | {"architecture": network.name if network else model.architecture}
        if network:
            spec |= {"normalise": [network.mean, network.std], "outputs": network.outputs}
        if path is None:
            recipe = checked(Recipe, model.recipe, "[victim.recipe]")
            _check_precision(recipe, self.suite)
            spec |= {"recipe": asdict(recipe), "seed": seed}
            if model.retraining is not None:
                retraining = checked(Retraining, model.retraining, "[victim.retraining]")
                spec["retraining"] = asdict(retraining)
                if retraining.recipe is not None:
                    _check_precision(retraining.recipe, self.suite)
        else:
            place = (path, model.architecture, self.data)
            spec["weights"] = checksum(path, None) if network else weights.digest(*place)
        facts = f"{model.name} seed {seed}", model.architecture, None, spec, self.source("victim")
        return self.add(Cell("victim", *facts, weights=path))


def _check_precision(recipe: Recipe, suite: Suite) -> None:
    if recipe.precision == "bfloat16" and suite.precision != SINGLE:
        raise UserError(
            f"{suite.name}: a victim in bfloat16, and all else in {suite.precision}",
            "remedy: remove `precision` from the suite, or from the recipe",
        )
