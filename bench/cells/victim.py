"""The victim cell: train a classifier or copy a stored one; measure its accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import Fault
from evil_twins.bench.store import files, records
from evil_twins.bench.store.checksums import VICTIM, checksum
from evil_twins.bench.subjects import splits, victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.retraining import Retraining, retrain

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network


def run(work: Work) -> None:
    """Train, unless the suite names a file; store victim.safetensors and victim.parquet."""
    path = work.out / VICTIM
    model = _model(work, path)
    test = [images for split in splits.NAMES if len(images := work.dataset.split(split))]
    right = sum(victims.accuracy(model, images) * len(images) for images in test)
    count = sum(len(images) for images in test)
    line = pd.DataFrame({"accuracy": [right / count], "images": [count]})
    records.write(line, records.VICTIMS, work.out / "victim.parquet")


def _model(work: Work, path: Path) -> Classifier:
    if "weights" not in work.spec:
        return _trained(work, path)
    return _adopted(work, work.network, path) if work.network else _copied(work, path)


def _trained(work: Work, path: Path) -> Classifier:
    data, spec = work.dataset, work.spec
    recipe = victims.Recipe(**spec["recipe"])
    task = (data.train, work.network or spec["architecture"], len(data.classes), recipe)
    if "retraining" in spec:
        other = spec["retraining"]["recipe"]
        after = victims.Recipe(**other) if other else None
        retraining = Retraining(**spec["retraining"] | {"recipe": after})
        model = retrain(*task, retraining, spec["seed"], work.device)
    else:
        model = victims.train(*task, spec["seed"], work.device)
    weights.save(model, path)
    return model


def _copied(work: Work, path: Path) -> Classifier:
    """Copy the file byte for byte, so that every machine has the same parent of all cells."""
    assert work.weights is not None
    files.copy(work.weights, None, path, work.out)
    if checksum(path, work.out) != work.spec["weights"]:
        raise Fault(f"{work.weights} has changed during the run; run again")
    return weights.load(path, work.out).to(work.device)


def _adopted(work: Work, network: Network, path: Path) -> Classifier:
    """Make a victim of the file's network, and store that: the file itself needs other code."""
    assert work.weights is not None
    if checksum(work.weights, None) != work.spec["weights"]:
        raise Fault(f"{work.weights} has changed during the run; run again")
    data = work.dataset
    weights.save(weights.adopted(network, work.weights, data), path)
    return weights.load(path, work.out, network).to(work.device)
