"""The victim cell: train a classifier, or take a stored one; its accuracy on the test split."""

import shutil
from pathlib import Path

import pandas as pd

from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import Fault
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.subjects import victims
from evil_twins.bench.subjects.retraining import Retraining, retrain
from evil_twins.bench.subjects.victims import Classifier, Recipe


def run(work: Work) -> None:
    """Train, unless the suite names a file; leaves victim.safetensors and victim.parquet."""
    path = work.out / "victim.safetensors"
    model = _fetched(work, path) if "weights" in work.spec else _trained(work, path)
    data = work.dataset
    test = [data.fit, data.calibration, data.fpr, data.heldout, data.development, data.confirmatory]
    right = sum(victims.accuracy(model, images) * len(images) for images in test if len(images))
    count = sum(len(images) for images in test)
    line = pd.DataFrame({"accuracy": [right / count], "images": [count]})
    records.write(line, records.VICTIMS, work.out / "victim.parquet")


def _trained(work: Work, path: Path) -> Classifier:
    data, spec = work.dataset, work.spec
    task = (data.train, spec["architecture"], len(data.classes), Recipe(**spec["recipe"]))
    where = (spec["seed"], work.device)
    if "retraining" in spec:
        model = retrain(*task, Retraining(**spec["retraining"]), *where)
    else:
        model = victims.train(*task, *where)
    victims.save(model, path)
    return model


def _fetched(work: Work, path: Path) -> Classifier:
    """The file as it is, byte for byte: so every machine has the same parent of all else."""
    assert work.weights is not None
    shutil.copyfile(work.weights, path)
    if checksum(path) != work.spec["weights"]:
        raise Fault(f"{work.weights} has changed during the run; run again")
    return victims.load(path).to(work.device)
