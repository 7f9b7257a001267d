"""`compare --aware`: detectors meet an attacker who knows them."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.commands import app
from tests.bench import newcomers, suites

CROWD = """
def crowd(model, x):
    if len(x) == 1:
        raise ValueError("one image")
    return x.mean((1, 2, 3))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with results of a suite and files of plug-ins."""
    folder = tmp_path_factory.mktemp("place")
    newcomers.prepare(folder)
    (folder / "crowd.py").write_text(CROWD)
    newcomers.run(folder, suites.write(folder, newcomers.ROWS[-1], suites.doubt()))
    return folder


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def _files(folder: Path) -> dict[Path, bytes]:
    """Return the content of each file."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _records(place: Path) -> dict[Path, bytes]:
    """Return the records of the suite."""
    return {path: path.read_bytes() for path in (place / "small").glob("*.parquet")}


def test_a_detector_meets_an_attacker_who_knows_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records, line = _records(place), ["compare", "mine.py:Near", "--suite", "small.toml"]
    line += ["--results", ".", "--jobs", "1", "--aware"]
    assert app.main(line) == 0
    first = capsys.readouterr()
    assert _records(place) == records
    assert "# Near against an attacker who knows it" in first.out
    assert first.err.count(" attack aware-Near κ=0.75 φ=0.5") == 1
    tables = place / "small" / "compare" / "Near" / "tables"
    # The usual tables are those without the attacker.
    assert "aware-Near" not in set(pd.read_csv(tables / "compare.csv")["attack"])
    (numbers,) = pd.read_csv(tables.parent / "aware" / "tables" / "aware.csv").to_dict("records")
    assert (numbers["penalty"], numbers["against"]) == ("gradient of the score", "imc")
    assert (numbers["n"], numbers["targets"], numbers["at_kappa"]) == (4, 4, 4)
    assert numbers["stopped"] < numbers["stopped_other"] == 1
    assert numbers["kl"] > 0
    stored = _files(place)
    assert app.main(line) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert " attack " not in again.err
    assert _files(place) == stored


def test_a_score_that_no_attacker_can_follow_is_told_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["compare", "crowd.py:crowd", "--suite", "small.toml", "--results", ".", "--jobs", "1"]
    assert app.main([*line, "--aware"]) == 1
    streams = capsys.readouterr()
    assert "crowd (K0) under each attack" in streams.out
    assert "attacker who knows it" not in streams.out
    assert "attack aware-crowd κ=0.75 φ=0.5: ValueError: one image" in streams.err
    assert streams.err.count(": failed: ValueError: one image") == 1
    assert not (place / "small" / "compare" / "crowd" / "aware").exists()
