"""Names of classes, where the data set has names."""

import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.records import Records

FOLDER = "folder:"
"""The start of the name of a data set from a folder of images."""


class Names:
    """Names of the classes of each data set of a suite."""

    def __init__(self, records: Records) -> None:
        """Take the records, whose names of images contain those of class folders."""
        self._names = {
            str(dataset): _names(str(dataset), records, rows.index)
            for dataset, rows in records.rows.groupby("dataset")
        }

    def name(self, dataset: str, label: int) -> str:
        """Return the name of a class, or its number where no name is known."""
        return self._names[dataset].get(label, str(label))


def _names(dataset: str, records: Records, rows: "pd.Index[int]") -> dict[int, str]:
    if not dataset.startswith(FOLDER):
        return dict(enumerate(published().get(dataset, ())))
    targets = records.targets[records.targets["row"].isin(rows)]
    stored = targets[["target_id", "label"]].drop_duplicates().to_numpy()
    direct = {int(label): name for target, label in stored for name in _folders([target])}
    scored = records.scores.loc[records.scores["row"].isin(rows), "image_id"].unique()
    # Labels are the places of the sorted folders, if the images come from all of them.
    every = dict(enumerate(sorted({*direct.values(), *_folders(scored)})))
    complete = int(targets["goal"].max()) < len(every)
    complete &= all(every.get(label) == name for label, name in direct.items())
    return every if complete else direct


def _folders(images: Iterable[str]) -> Iterator[str]:
    """Yield the class folder of each image "half/class/file"."""
    for image in images:
        if len(parts := str(image).split("/")) > 2:
            yield text.one_line(parts[1])


@cache
def published() -> dict[str, list[str]]:
    """Return the names of classes by data set and label."""
    source = (Path(__file__).parent / "classes.toml").read_text(encoding="utf-8")
    return dict(tomllib.loads(source))
