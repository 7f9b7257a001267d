"""Scores of a suite from its records, so that a comparison reads one file instead of its cells."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished, current
from evil_twins.bench.run.plan import Plan
from evil_twins.bench.store import parquet
from evil_twins.bench.store.records import FILES, KEYS

NAMES = [*KEYS, "detector"]
"""The columns that name a row and a detector."""


class StoredScores:
    """The scores of a suite by row and detector.

    Args:
        directory: `<results>/<suite>`, with its records.

    Raises:
        UserError: They are missing or damaged.
    """

    def __init__(self, directory: Path) -> None:
        self._table = parquet.read(directory / "scores.parquet", FILES["scores"])
        names = self._table.select(NAMES).to_pandas()
        # The lines of a row and a detector follow each other.
        group = names.groupby(NAMES, sort=False, dropna=False).ngroup().to_numpy()
        first = np.flatnonzero(np.diff(group, prepend=-1))
        ends = np.append(first, len(names))[1:]
        keys = names.iloc[first].astype(object).where(names.iloc[first].notna(), None)
        places = zip(first.tolist(), (ends - first).tolist(), strict=True)
        self._places = dict(zip(keys.itertuples(index=False, name=None), places, strict=True))

    def find(self, keys: Mapping[str, Any], detector: str) -> pa.Table | None:
        """Return the lines of a row and a detector in their order, or None if there are none."""
        place = self._places.get((*(keys[name] for name in KEYS), detector))
        return None if place is None else self._table.slice(*place)


def stored_scores(done: Finished, added: Collection[str], directory: Path) -> StoredScores | None:
    """Return the scores of a suite if its records are those of its cells.

    Args:
        done: The suite with further detectors.
        added: These detectors.
        directory: `<results>/<suite>`.

    Returns:
        None if the records are missing, damaged or older than the cells.
    """
    if not current(directory, _without(done, added).mark):
        return None
    try:
        return StoredScores(directory)
    except UserError:
        return None


def _without(done: Finished, added: Collection[str]) -> Finished:
    """Return a suite without some of its detectors."""
    cells = {key: cell for key, cell in done.plan.cells.items() if cell.label not in added}
    shards = tuple(
        replace(
            shard,
            scores={label: key for label, key in shard.scores.items() if label not in added},
        )
        for shard in done.plan.shards
    )
    state = replace(
        done.state,
        content={key: value for key, value in done.state.content.items() if key in cells},
        failed={key: value for key, value in done.state.failed.items() if key in cells},
    )
    return replace(done, plan=Plan(cells, done.plan.victims, shards), state=state)
