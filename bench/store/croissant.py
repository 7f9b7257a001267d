"""Description of records in the form of Croissant 1.0, metadata of data sets for machine learning.

The form: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.store.meanings import FILE_WORDS, SCHEMAS, meaning
from evil_twins.bench.store.schemas import RunFacts

NAME = "croissant.json"

TYPES = {
    pa.string(): "sc:Text",
    pa.int64(): "sc:Integer",
    pa.float64(): "sc:Float",
    pa.bool_(): "sc:Boolean",
}
"""Types of columns in the words of Croissant, which has none for bytes."""

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{
        term: f"cr:{term}"
        for term in ("citeAs", "column", "extract", "field", "fileObject", "recordSet", "source")
    },
}

CITATION = (
    "@inproceedings{pang2020tale, title={A Tale of Evil Twins: Adversarial Inputs versus Poisoned "
    "Models}, author={Pang, Ren and Shen, Hua and Zhang, Xinyang and Ji, Shouling and "
    "Vorobeychik, Yevgeniy and Luo, Xiapu and Liu, Alex and Wang, Ting}, booktitle={CCS}, "
    "year={2020}, doi={10.1145/3372297.3417253}}"
)


def write(directory: Path) -> None:
    """Write the description of the records in a folder, next to them."""
    files.write(directory / NAME, directory, json_files.encode(describe(directory)))


def describe(directory: Path) -> dict[str, Any]:
    """Return the description of the records in a folder, with the date and version of run.json.

    Addresses are relative to the folder; whoever publishes it elsewhere may replace `url`.

    Args:
        directory: `<results>/<suite>`, with the records of a run.
    """
    run = json_files.read(directory / "run.json", directory, RunFacts) or RunFacts()
    names = [name for name in SCHEMAS if files.present(directory / f"{name}.parquet", directory)]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"evil-twins-{directory.name}",
        "description": f"Records of the suite {directory.name} of evil-twins: attacks on inputs "
        "and models of image classifiers, and the scores of detectors. Images in gallery.parquet "
        "are those of the data set, under its terms.",
        "license": "https://spdx.org/licenses/MIT.html",
        "url": "./",
        "creator": {"@type": "sc:Organization", "name": "The evil-twins authors"},
        "datePublished": run.date,
        "version": run.code.packages.get("evil-twins", ""),
        "citeAs": CITATION,
        "distribution": [_file(directory / f"{name}.parquet") for name in names],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": name,
                "name": name,
                "description": FILE_WORDS[name],
                "field": list(_fields(name, pq.read_schema(directory / f"{name}.parquet").names)),
            }
            for name in names
        ],
    }


def _file(path: Path) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": checksum(path, path.parent),
    }


def _fields(file: str, stored: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield each stored column of a file that has a type of Croissant."""
    for column, kind in SCHEMAS[file].items():
        if column in stored and kind in TYPES:
            words, values, unit = meaning(file, column)
            parts = [words, values and f"values: {values}", unit and f"unit: {unit}"]
            yield {
                "@type": "cr:Field",
                "@id": f"{file}/{column}",
                "name": column,
                "description": "; ".join(filter(None, parts)),
                "dataType": TYPES[kind],
                "source": {
                    "fileObject": {"@id": f"{file}.parquet"},
                    "extract": {"column": column},
                },
            }
