"""Where both halves meet: the columns of every record, and how they are written and read.

One Parquet file for each schema lies under `<results>/<suite>/`. The parts that cells leave have
the same columns without the keys, which are put in front when a suite is assembled: so a cell does
not depend on what a row is called.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evil_twins.bench.errors import UserError

Columns = Mapping[str, pa.DataType]

_TEXT, _WHOLE, _REAL, _FLAG, _BYTES = pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.binary()

KEYS: Columns = {
    "dataset": _TEXT,
    "victim": _TEXT,
    "seed": _WHOLE,
    "attack": _TEXT,
    "method": _TEXT,
    "layers": _TEXT,
    "kappa": _REAL,
    "phi": _REAL,
    "lam": _REAL,
}
"""What names a row of a study; NaN in kappa, phi and lam means: does not apply."""

TARGETS: Columns = {
    "target_id": _TEXT,
    "label": _WHOLE,
    "goal": _WHOLE,
    "list": _TEXT,
    "confidence": _REAL,
    "log_odds": _REAL,
    "at_kappa": _FLAG,
    "within_eps": _FLAG,
    "predicted": _WHOLE,
    "linf": _REAL,
    "l2": _REAL,
    "delta": _REAL,
    "kl": _REAL,
    "flipped": _WHOLE,
    "heldout": _WHOLE,
    "accuracy_drop": _REAL,
    "confidence_8bit": _REAL,
    "at_kappa_8bit": _FLAG,
    "rounds": _WHOLE,
    "passes": _WHOLE,
    "norm": _TEXT,
    "kl_reference": _REAL,
    "kl_bound": _REAL,
    "group": _TEXT,
}
"""`log_odds` are those of `confidence`, finite where it rounds to 1. `norm` is that of an attack on
inputs, else "". `kl_reference` is the mean KL on the attacker's images, NaN if more than the last
layer moved; no model at κ can go below `kl_bound` (NaN: unknown). `group` is the target_id of the
first target that is served by the same poisoned model: its own where each has its own model.
"""
NATURE: Columns = {"moves": _TEXT, "role": _TEXT}
"""What an attack says of itself, beside its targets."""
FLIPS: Columns = {"target_id": _TEXT, "image_id": _TEXT}
GALLERY: Columns = {
    "target_id": _TEXT,
    "label": _WHOLE,
    "goal": _WHOLE,
    "predicted": _WHOLE,
    "shape": _TEXT,
    "original": _BYTES,
    "attacked": _BYTES,
}
SCORES: Columns = {
    "role": _TEXT,
    "target_id": _TEXT,
    "image_id": _TEXT,
    "score": _REAL,
    "confidence": _REAL,
    "correct": _FLAG,
}
DETAILS: Columns = {"target_id": _TEXT, "name": _TEXT, "value": _REAL}
VICTIMS: Columns = {"accuracy": _REAL, "images": _WHOLE}
COSTS: Columns = {"detector": _TEXT, "seconds": _REAL, "inputs": _WHOLE}
"""Of the score cells of a row: how long they took, fits included, and how many inputs they hold."""
MODEL_SCORE = "score of the model"
"""Name of the detail that a detector of models leaves, for the first target that faces a model."""
FAILURES: Columns = {"kind": _TEXT, "cell": _TEXT, "reason": _TEXT, "log": _TEXT}

GROUP = 2**18
"""About so many lines are written together, and held in memory until then."""


def write(frame: pd.DataFrame, columns: Columns, path: Path) -> None:
    """The frame as Parquet, whole or not at all; equal frames give equal bytes.

    Args:
        frame: Has the columns of `columns`; others are left out.
        columns: Names and types, in the order in which they are written.
        path: The file; its folder is made if it is missing.
    """
    schema = pa.schema(list(columns.items()))
    save(pa.Table.from_pandas(frame[list(columns)], schema=schema, preserve_index=False), path)


def save(table: pa.Table, path: Path) -> None:
    """The table as Parquet, whole or not at all; equal tables give equal bytes."""
    with writing(path, table.schema.remove_metadata()) as append:
        append(table)


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """A function that adds the lines of a table to the file; what it holds is bounded.

    Args:
        path: The file, which is there only when the block ends well; its folder is made.
        schema: Of all tables that are added. Equal tables in equal order give equal bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    held, lines = [schema.empty_table()], 0

    def append(table: pa.Table) -> None:
        nonlocal lines
        held.append(table.replace_schema_metadata(None))
        lines += len(table)
        if lines >= GROUP:
            file.write_table(pa.concat_tables(held).combine_chunks())
            del held[1:]
            lines = 0

    try:
        with pq.ParquetWriter(beside, schema, compression="zstd") as file:
            yield append
            file.write_table(pa.concat_tables(held).combine_chunks())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def empty(columns: Columns) -> pd.DataFrame:
    """A frame without lines."""
    frame: pd.DataFrame = pa.schema(list(columns.items())).empty_table().to_pandas()
    return frame


def keyed(table: pa.Table, keys: Mapping[str, Any], columns: Columns) -> pa.Table:
    """The table with the same keys in every line (None: empty), in the order of `columns`."""

    def column(name: str, kind: pa.DataType) -> pa.ChunkedArray:
        if name not in keys:
            return table[name]
        return pa.chunked_array([pa.repeat(pa.scalar(keys[name], kind), len(table))])

    arrays = [column(name, kind) for name, kind in columns.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def read(path: Path) -> pd.DataFrame:
    """What `write` wrote.

    Raises:
        UserError: The file is missing or damaged.
    """
    frame: pd.DataFrame = load(path).to_pandas()
    return frame


def load(path: Path) -> pa.Table:
    """What `save` wrote.

    Raises:
        UserError: The file is missing or damaged.
    """
    try:
        with pq.ParquetFile(path) as file:  # twice as fast as read_table on small files
            return file.read()
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path}: {str(error).splitlines()[0][:120]}\n"
            "remedy: delete the file or its folder and run again"
        ) from error
