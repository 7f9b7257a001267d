"""Comparisons: the cells that run, the tables, and the files of the suite, which stay."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console

from evil_twins.bench.commands import app
from evil_twins.bench.commands.compare import show
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.compare import Question, compare
from evil_twins.bench.run.session import Execution
from evil_twins.bench.run.workspace import Folders
from tests.bench import newcomers


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with results of a suite and a file of plug-ins."""
    folder = tmp_path_factory.mktemp("place")
    newcomers.run(folder, newcomers.prepare(folder))
    return folder


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def _compare(*texts: str, against: Sequence[str] = (), per: str = "attack") -> int:
    console, question = Console(stderr=True), Question(texts, "small.toml", against, per)
    execution = Execution(device="cpu", jobs=1)
    return show(compare(question, Folders(Path()), execution, console), console)


def _files(place: Path, pattern: str) -> dict[Path, tuple[str, int]]:
    """Return content and time of change of each file."""
    return {
        path: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in (place / "small").glob(pattern)
        if path.is_file()
    }


def _suite_files(place: Path) -> dict[Path, tuple[str, int]]:
    """Return the records, tables and figures of the suite."""
    return {k: v for p in ("*", "tables/*", "figures/*") for k, v in _files(place, p).items()}


def _table(place: Path, folder: str, name: str) -> pd.DataFrame:
    return pd.read_csv(place / "small" / "compare" / folder / "tables" / f"{name}.csv")


def test_a_function_in_a_fresh_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, cells = _suite_files(place), _files(place, "cells/[!bs]*/**/*")
    assert _compare("mine.py:unsure") == 0
    streams = capsys.readouterr()
    assert _suite_files(place) == before
    assert _files(place, "cells/[!bs]*/**/*") == cells
    assert streams.err.count(" score unsure × ") == 4
    assert "5 cells run, 5 stored" in streams.err
    assert "unsure (K0) under each attack" in streams.out
    folder = place / "small" / "compare" / "unsure"
    figures = {path.name for path in (folder / "figures").iterdir()}
    stems, endings = ("detection-phi", "differences"), ("svg", "png", "csv")
    assert figures == {f"{stem}.{ending}" for stem in stems for ending in endings}
    # It is what the suite's detector of another name is, in every number.
    table = _table(place, "unsure", "compare")
    suite_table = pd.read_csv(place / "small" / "tables" / "detection.csv")
    keys = ["attack", "kappa", "phi", "fpr_nominal"]
    doubt = suite_table[suite_table["detector"] == "doubt"]
    both = table.merge(doubt, on=keys, suffixes=("", "_doubt"))
    assert len(both) == len(table) == 8
    for name in ("detected", "low", "high", "auroc", "ks", "ks_null95", "success", "threshold"):
        assert list(both[name]) == list(both[f"{name}_doubt"]), name
    assert (table["seconds_per_input"] > 0).all()
    assert (table["inputs"] == 4 * 41).all()
    pairs = _table(place, "unsure", "paired")
    assert len(pairs) == 3 * 2
    assert "untouched" not in set(pairs["attack"])
    same = pairs[pairs["against"] == "doubt"]
    assert (same[["difference"]] == 0).all(axis=None)
    assert (same["p_corrected"] == 1).all()


def test_a_class_with_parameters_and_a_second_call(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _compare("mine.py:Near(k=5)") == 0
    first = capsys.readouterr()
    assert "Near(k=5) (K1)" in first.out
    assert (place / "small" / "compare" / "Near_k_5").is_dir()
    stored = _files(place, "**/*")
    assert _compare("mine.py:Near(k=5)") == 0
    again = capsys.readouterr()
    assert "0 cells run, 10 stored" in again.err
    assert again.out == first.out
    assert _files(place, "**/*") == stored


def test_an_attack(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = _suite_files(place)
    assert _compare("poisoning(kappa=[0.6, 0.75], model={'layers': 'head'})") == 0
    streams = capsys.readouterr()
    assert _suite_files(place) == before
    # At κ = 0.75 it is the attack of the suite under another name.
    assert streams.err.count(" attack poisoning(model") == 1
    assert streams.err.count(" score ") == 2
    (folder,) = (place / "small" / "compare").glob("poisoning*")
    kl = _table(place, folder.name, "compare").set_index(["attack", "kappa"])["kl"]
    label = "poisoning(model={'layers': 'head'})"
    assert len(kl) == 6
    assert kl[(label, 0.75)] == kl[("poisoning", 0.75)]
    assert kl[(label, 0.6)] < kl[("poisoning", 0.75)]
    detection = _table(place, folder.name, "detection")
    assert set(detection[detection["attack"] == label]["detector"]) == {"doubt", "far"}
    said = (folder / "tables" / "compare.md").read_text()
    assert f"Under each detector: {label} κ .6 φ 0" in said
    lines = said.split("## Compared with the other attacks")[1].strip().splitlines()
    assert [line.split(" | ")[0] for line in lines[2:4]] == [
        f"| {label} κ .6 φ 0",
        f"| {label} κ .75 φ 0",
    ]


WRONG = {
    "shape": "function 'shape' returned 160×10 numbers for 160 images",
    "nothing": "function 'nothing' returned NaN or infinity for 160 of 160 images",
    "falls": "ValueError: over",
    "Late": "ValueError: late",
    "Unfitted": "fit of detector 'Unfitted' returned NoneType; expected a function of images",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plug_in_is_told_so_and_harms_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = _suite_files(place)
    assert _compare(f"mine.py:{name}") == 1
    streams = capsys.readouterr()
    assert WRONG[name] in streams.err
    assert "Traceback" not in streams.err
    assert streams.out == ""
    assert _suite_files(place) == before
    assert not (place / "small" / "compare" / name).exists()


def test_what_fails_in_one_row_is_whole_in_the_others(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _compare("mine.py:Benign") == 1
    streams = capsys.readouterr()
    assert "3 cells failed" in streams.out
    table = _table(place, "Benign", "compare")
    assert set(table["attack"]) == {"poisoning", "imc"}
    rates = _table(place, "Benign", "rates")
    assert rates.groupby("detector")["attack"].agg(set).map(len).to_dict() == dict.fromkeys(
        ("Benign", "doubt", "far"), 2
    )
    said = " ".join(streams.out.split())
    assert "on the attacks and victims that all detectors here have" in said
    assert "pgd κ .75 φ 1 (Benign)" in said


def test_a_column_of_the_suite_runs_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files(place, "cells/**/*")
    assert _compare("far") == 0
    streams = capsys.readouterr()
    assert "0 cells run" in streams.err
    assert "far minus it" in streams.out
    assert _files(place, "cells/**/*") == before
    assert set(_table(place, "far", "paired")["against"]) == {"doubt"}


def test_several_are_compared_with_each_other_and_with_the_chosen_rivals(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _compare("far", "doubt", against=["doubt"], per="worst") == 0
    assert "Per worst, κ .75" in capsys.readouterr().out
    pairs = _table(place, "far_and_doubt.per-worst.against-none", "paired")
    assert pairs[["detector", "against"]].to_numpy().tolist() == [["far", "doubt"]]


def test_scores_are_read_from_the_records_of_the_suite_while_these_are_current(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = list[str]()
    record = Finished.record

    def recorded(done: Finished, key: str, name: str) -> pa.Table:
        reads.append(f"{done.plan.cells[key].label} {name}")
        return record(done, key, name)

    monkeypatch.setattr(Finished, "record", recorded)
    assert _compare("mine.py:Near(k=2)") == 0
    assert "Near(k=2) scores" in reads
    assert not {"doubt scores", "far scores"} & {*reads}
    folder = place / "small" / "compare" / "Near_k_2"
    first = {name: (folder / name).read_bytes() for name in ("scores.parquet", "tables/rates.csv")}
    # Without the mark of the suite nobody knows of which cells its records are.
    facts = (place / "small" / "run.json").rename(place / "run.json")
    for path in (folder / "run.json", folder / "scores.parquet"):
        path.unlink()
    reads.clear()
    assert _compare("mine.py:Near(k=2)") == 0
    facts.rename(place / "small" / "run.json")
    assert {"Near(k=2) scores", "doubt scores", "far scores"} <= {*reads}
    assert first == {name: (folder / name).read_bytes() for name in first}


@pytest.mark.slow
def test_what_never_ends_is_stopped(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "endless.py").write_text("def endless(model, x):\n    while True: ...\n")
    line = ["compare", "endless.py:endless", "--suite", "small.toml", "--results", "."]
    assert app.main([*line, "--jobs", "1", "--time-limit", "20"]) == 2
    said = capsys.readouterr().err
    assert "took longer than 20 s; remedy: see that it ends, or allow more by --time-limit" in said
    assert "no other cell of 'endless' was run" in said
