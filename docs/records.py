"""Write the page that defines every column of the records, and describe the published records.

The words are in bench/store/meanings.py. In a checkout: python docs/records.py
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from evil_twins.bench.store import croissant
from evil_twins.bench.store.meanings import FILE_WORDS, SCHEMAS, Meaning, meaning

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "records.md"
PUBLISHED = sorted(
    path.parent for path in (ROOT / "results" / "reference").glob("*/targets.parquet")
)
TYPES = {
    pa.string(): "text",
    pa.int64(): "whole number",
    pa.float64(): "number",
    pa.bool_(): "true or false",
    pa.binary(): "bytes",
}
INTRODUCTION = """# Records

`<results>/<suite>/` holds one Parquet file for each kind of record. `docs/records.py` writes this
page from `bench/store/meanings.py`. [A short script](examples/read_records.py) reads records with
pandas, without this project, and computes a rate with its interval. `croissant.json`, next to the
records, has the same words for machines: metadata of
[Croissant 1.0](https://docs.mlcommons.org/croissant/docs/croissant-spec.html) with the SHA-256 of
each file.

A row of a suite has the nine columns `dataset` to `lam` as its name. Texts are never missing: one
that does not apply is empty. The README defines [the words](../README.md#words).
"""


def page() -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, *(line for name in SCHEMAS for line in _section(name))])


def _section(name: str) -> Iterator[str]:
    yield f"## `{name}.parquet`\n\n{FILE_WORDS[name]}"
    if name == "costs":
        yield "Only `compare` writes it."
    yield "\n| column | type | unit | values | meaning |\n| --- | --- | --- | --- | --- |"
    for column, kind in SCHEMAS[name].items():
        yield _line(column, TYPES[kind], meaning(name, column))
    yield ""


def _line(column: str, kind: str, words: Meaning) -> str:
    return f"| `{column}` | {kind} | {words.unit} | {words.range} | {words.words} |"


if __name__ == "__main__":
    PAGE.write_text(page())
    for folder in PUBLISHED:
        croissant.write(folder)
