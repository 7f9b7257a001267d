"""Every column of the records is defined, for people and as Croissant metadata."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from evil_twins.bench.store import croissant
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.store.meanings import COLUMNS, FILE_WORDS, OF_FILE, SCHEMAS, meaning
from tests.bench import synthetic

ROOT = Path(__file__).parents[3]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "records.py"))
PUBLISHED: list[Path] = SCRIPT["PUBLISHED"]


def test_words_are_those_of_the_columns() -> None:
    assert set(FILE_WORDS) == set(SCHEMAS)
    for file, columns in SCHEMAS.items():
        assert all(meaning(file, column).words for column in columns)
        assert set(OF_FILE.get(file, {})) <= set(columns)
    assert set(COLUMNS) <= {column for columns in SCHEMAS.values() for column in columns}


def test_the_page_is_what_the_script_writes() -> None:
    assert SCRIPT["PAGE"].read_text() == SCRIPT["page"](), "run docs/records.py"


def test_a_cell_of_the_page_is_one_cell() -> None:
    lines = re.findall(r"(?m)^\| .*$", SCRIPT["page"]())
    assert {line.count("|") for line in lines} == {6}


def _check(described: dict[str, Any], folder: Path) -> None:
    """Check what the specification demands of data set, files, record sets and fields."""
    required = {"@context", "@type", "conformsTo", "description", "license", "name", "url"}
    required |= {"creator", "datePublished", "distribution", "recordSet"}
    assert required <= {key for key, value in described.items() if value}
    assert described["@type"] == "sc:Dataset"
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    context = described["@context"]
    assert (context["@vocab"], context["cr"]) == (
        "https://schema.org/",
        "http://mlcommons.org/croissant/",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", described["datePublished"])
    files = {file["@id"]: file for file in described["distribution"]}
    assert set(files) == {path.name for path in folder.glob("*.parquet")}
    for name, file in files.items():
        assert file["@type"] == "cr:FileObject"
        assert (file["name"], file["contentUrl"]) == (name, name)
        assert file["encodingFormat"] == "application/x-parquet"
        assert file["sha256"] == checksum(folder / name, folder)
    fields = [field for part in described["recordSet"] for field in part["field"]]
    ids = [*files, *(part["@id"] for part in described["recordSet"]), *(f["@id"] for f in fields)]
    assert len(ids) == len(set(ids))
    assert {part["@type"] for part in described["recordSet"]} == {"cr:RecordSet"}
    for field in fields:
        assert (field["@type"], bool(field["description"])) == ("cr:Field", True)
        assert field["dataType"] in {"sc:Text", "sc:Integer", "sc:Float", "sc:Boolean"}
        source, column = field["source"], field["source"]["extract"]["column"]
        file = source["fileObject"]["@id"]
        assert field["@id"] == f"{file.removesuffix('.parquet')}/{column}"
        assert column in pq.read_schema(folder / file).names


def _terms(value: Any) -> set[str]:
    """Return every key of an object and of the objects in it."""
    if isinstance(value, list):
        return {term for item in value for term in _terms(item)}
    if isinstance(value, dict):
        return set(value) | {term for item in value.values() for term in _terms(item)}
    return set()


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_records_have_croissant_metadata(folder: Path) -> None:
    stored = json.loads((folder / croissant.NAME).read_text())
    assert stored == croissant.describe(folder), "run docs/records.py"
    _check(stored, folder)


def test_terms_of_croissant_are_in_its_namespace(tmp_path: Path) -> None:
    """Without an entry in the context a term would be one of schema.org."""
    described = croissant.describe(synthetic.write(tmp_path / "small", synthetic.frames(n=4)))
    theirs = {"citeAs", "column", "dataType", "extract", "field", "fileObject", "recordSet"}
    theirs |= {"source", "conformsTo"}
    schema_org = {"name", "description", "license", "url", "creator", "datePublished", "version"}
    schema_org |= {"distribution", "contentUrl", "contentSize", "encodingFormat", "sha256"}
    terms = _terms({key: value for key, value in described.items() if key != "@context"})
    assert {term for term in terms if term[0] != "@"} == theirs | schema_org
    assert theirs <= set(described["@context"])


def test_a_run_describes_its_records(whole: Path) -> None:
    _check(json.loads((whole / "small" / croissant.NAME).read_text()), whole / "small")


def test_columns_that_older_records_lack_are_not_described(tmp_path: Path) -> None:
    frames = synthetic.frames(n=4)
    frames["victims"] = frames["victims"].drop(columns=["content", "computed"])
    described = croissant.describe(synthetic.write(tmp_path / "old", frames))
    ids = {field["@id"] for part in described["recordSet"] for field in part["field"]}
    assert "victims/accuracy" in ids
    assert not {"victims/content", "victims/computed"} & ids


def test_pandas_and_no_more_read_a_rate(capsys: pytest.CaptureFixture[str]) -> None:
    script = ROOT / "docs" / "examples" / "read_records.py"
    assert "evil_twins" not in script.read_text()
    computed = runpy.run_path(str(script))["rates"].mean()
    table = pd.read_csv(ROOT / "results" / "reference" / "quick" / "tables" / "population.csv")
    lines = table.query(
        "attack == 'imc-head' and kappa == 1 and phi == .5 and detector == 'manifold' "
        "and fpr_nominal == .05"
    )
    assert computed == pytest.approx(lines["rate"].item(), abs=1e-6)
    assert f"{computed:.4f}" in capsys.readouterr().out
