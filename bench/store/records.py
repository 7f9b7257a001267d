"""The columns of every record, and how records are written and read.

One Parquet file for each schema lies under `<results>/<suite>/`. The parts that cells store have
the same columns without the keys, which are added when a suite is assembled. So a cell does not
depend on the name of a row.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from evil_twins.bench.errors import Damaged
from evil_twins.bench.store import files, parquet

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
"""The name of a row of a study; NaN in kappa, phi and lam means: does not apply. A kappa of 1 is
the text "benign", `evil_twins.bench.store.levels.BENIGN`.
"""

CONTENT: Columns = {"content": _TEXT}
"""The content hash of a victim's cell, and of the pixels of a target: 64 hexadecimal digits, "" in
records of older versions."""
ASR: Columns = {"asr": _REAL}
"""The success rate of a trigger; NaN for other attacks, and in records of older versions."""
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
    **ASR,
    "group": _TEXT,
    **CONTENT,
}
"""`log_odds` are those of `confidence`, finite where it rounds to 1. `norm` is that of an attack on
inputs, else "". `kl_reference` is the mean KL on the attacker's images, NaN if more than the last
layer moved. No model at κ has a KL below `kl_bound` (NaN: unknown). `group` is the target_id of
the first target of the same poisoned model.
"""
NATURE: Columns = {"moves": _TEXT, "role": _TEXT}
"""The nature of an attack, stored with its targets."""
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
COMPUTED: Columns = {"computed": _TEXT}
"""The type of the numbers and, where another machine makes others, the machine of the victim's
cell, such as "float64" or "float32 on AMD EPYC"; "" in records of older versions."""
LATER = {**CONTENT, **COMPUTED, **ASR}
"""Columns that records of older versions lack."""
COSTS: Columns = {"detector": _TEXT, "seconds": _REAL, "inputs": _WHOLE}
"""Seconds of the score cells of a row, fits included, and the number of their inputs."""
DURABILITY: Columns = {
    "treatment": _TEXT,
    "target_id": _TEXT,
    "confidence": _REAL,
    "at_kappa": _FLAG,
    "gets_goal": _FLAG,
    "asr": _REAL,
    "accuracy": _REAL,
}
MODEL_SCORE = "score of the model"
"""Name of the detail of a detector of models, stored for the first target that faces a model."""
NO_SCORE = "no score: "
"""Beginning of the name of a detail whose value is the number of images without a score under the
model of a target; the reason follows."""
FAILURES: Columns = {"kind": _TEXT, "cell": _TEXT, "reason": _TEXT, "log": _TEXT}

STUDY: Columns = {name: KEYS[name] for name in ("dataset", "victim", "seed")}
DETECTOR: Columns = {"detector": _TEXT, "knowledge": _TEXT}
FILES: Mapping[str, Columns] = {
    "targets": {**KEYS, **TARGETS, **NATURE},
    "flips": {**KEYS, **FLIPS},
    "gallery": {**KEYS, **GALLERY},
    "scores": {**KEYS, **DETECTOR, **SCORES},
    "details": {**KEYS, "detector": _TEXT, **DETAILS},
    "durability": {**KEYS, **DURABILITY},
    "victims": {**STUDY, **VICTIMS, **CONTENT, **COMPUTED},
    "failures": FAILURES,
}
"""The records of a suite."""
PARTS: Mapping[str, Columns] = {
    "targets": {**TARGETS, "layers": KEYS["layers"]},
    "flips": FLIPS,
    "gallery": GALLERY,
    "scores": SCORES,
    "details": DETAILS,
    "durability": DURABILITY,
    "victim": VICTIMS,
}
"""The records that cells store. `layers` are those that moved, a key of the row."""

_HASH = r"(?:[0-9a-f]{64})?"

GROUP = 2**18
"""Number of lines that are held in memory and then written together."""


def write(frame: pd.DataFrame, columns: Columns, path: Path) -> None:
    """Write a frame as Parquet, completely or not at all; equal frames give equal bytes.

    Args:
        frame: Frame with these columns; further ones are not written.
        columns: Names and types, in the order in which they are written.
        path: The file; its folder is made.
    """
    schema = pa.schema(list(columns.items()))
    save(pa.Table.from_pandas(frame[list(columns)], schema=schema, preserve_index=False), path)


def save(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, completely or not at all; equal tables give equal bytes."""
    with writing(path, table.schema.remove_metadata()) as append:
        append(table)


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Open a file and give a function that adds the lines of a table, in bounded memory.

    Args:
        path: The file, which exists only when the block ends well; its folder is made.
        schema: Schema of all tables. Equal tables in equal order give equal bytes.
    """
    buffer, lines = [schema.empty_table()], 0

    def append(table: pa.Table) -> None:
        nonlocal lines
        buffer.append(table.replace_schema_metadata(None))
        lines += len(table)
        if lines >= GROUP:
            file.write_table(pa.concat_tables(buffer).combine_chunks())
            del buffer[1:]
            lines = 0

    with (
        files.creating(path, path.parent) as draft,
        pq.ParquetWriter(draft, schema, compression="zstd") as file,
    ):
        yield append
        file.write_table(pa.concat_tables(buffer).combine_chunks())


def empty(columns: Columns) -> pd.DataFrame:
    """Return a frame without lines."""
    frame: pd.DataFrame = pa.schema(list(columns.items())).empty_table().to_pandas()
    return frame


def keyed(table: pa.Table, keys: Mapping[str, Any], columns: Columns) -> pa.Table:
    """Add the same keys to every line of a table (None: empty), in the order of `columns`."""

    def column(name: str, kind: pa.DataType) -> pa.ChunkedArray:
        if name not in keys:
            return table[name]
        return pa.chunked_array([pa.repeat(pa.scalar(keys[name], kind), len(table))])

    arrays = [column(name, kind) for name, kind in columns.items()]
    return pa.Table.from_arrays(arrays, schema=pa.schema(list(columns.items())))


def read(path: Path, columns: Columns) -> pd.DataFrame:
    """Read a frame that `write` wrote; columns of LATER that it lacks are empty.

    Raises:
        Damaged: The file is missing or damaged, a column is missing or of another type, or a hash
            is no hash.
    """
    frame: pd.DataFrame = parquet.read(path, columns, later=LATER).to_pandas()
    for name in CONTENT.keys() & columns.keys():
        if not frame[name].str.fullmatch(_HASH).all():
            raise Damaged(path, f"the column {name} holds what is no SHA-256")
    return frame
