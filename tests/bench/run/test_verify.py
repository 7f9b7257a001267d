"""Damage that `verify` names, and `run` repairs."""

import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import fingerprint
from tests.bench import suites
from tests.bench.small_run import CELLS, PARTS, SCORES, line, same
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("no_figures", "no_workers")


def test_dropped_models_are_said_to_be_absent(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run = line(tmp_path, tmp_path, "--drop-models")
    assert app.main(run) == 0
    capsys.readouterr()
    check = ["verify", run[1], "--results", str(tmp_path), "--sample", str(SCORES)]
    assert app.main(check) == 0
    assert "the models of 1 attack cells cannot be checked: dropped" in capsys.readouterr().out
    merge = ["merge", str(tmp_path), "--results", str(tmp_path / "both")]
    assert app.main(merge) == 0
    assert app.main(["verify", run[1], "--results", str(tmp_path / "both"), "--sample", "0"]) == 1
    assert "scores.parquet is not what the stored results give" in capsys.readouterr().out
    assert app.main(line(tmp_path, tmp_path / "both")) == 0
    assert f"0 cells run, {CELLS} stored" in capsys.readouterr().err


def test_a_cell_in_the_place_of_another_is_found(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run = line(tmp_path, tmp_path)
    first, other = sorted(tmp_path.glob("small/cells/score/*/"))[:2]
    shutil.rmtree(first)
    shutil.copytree(other, first)
    check = ["verify", run[1], "--results", str(tmp_path), "--sample", "0"]
    assert app.main(check) == 1
    assert str(first) in capsys.readouterr().out
    assert app.main(run) == 0
    assert "1 cells run" in capsys.readouterr().err
    assert app.main(check) == 0
    assert same(whole, tmp_path)


def test_run_json_says_what_the_cells_took_in_all(whole: Path) -> None:
    computing = json.loads((whole / "small" / "run.json").read_text())["computing"]
    taken = [
        json.loads(path.read_text())["seconds"] for path in whole.glob("small/cells/*/*/prov*.json")
    ]
    assert computing == {"cells": CELLS, "core_hours": pytest.approx(sum(taken) / 3600, abs=1e-4)}


def test_versions_of_libraries_are_stored_and_those_that_are_not_here_are_named(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    stored = json.loads((tmp_path / "small" / "run.json").read_text())["versions"]["torch"]
    assert stored == {version("torch"): CELLS}
    cell = sorted(tmp_path.glob("small/cells/attack/*/cell.json"))[0]
    sidecar = json.loads(cell.with_name("provenance.json").read_text())
    facts = json.loads(cell.read_text())
    assert sidecar["versions"] == facts["versions"]
    facts["versions"] |= {"torch": "0.1", "\x1b[31m": "1", "scipy": "\x1b[31m"}
    del facts["seal"]
    cell.write_text(json.dumps(facts | {"seal": fingerprint(facts)}))
    run = line(tmp_path, tmp_path)
    assert app.main(run) == 0
    several = f"several versions: torch 0.1 (1 cells), {version('torch')} ({CELLS - 1} cells)"
    assert several in capsys.readouterr().err
    assert app.main(["verify", run[1], "--results", str(tmp_path), "--sample", "0"]) == 0
    shown = capsys.readouterr().out
    name = f"attack/{cell.parent.name}"
    assert f"1 stored cells depend on torch 0.1; here it is {version('torch')}: {name}\n" in shown
    assert "\x1b" not in shown
    assert app.main(["merge", str(tmp_path), "--results", str(tmp_path / "both")]) == 0
    merged = tmp_path / "both" / cell.relative_to(tmp_path)
    assert json.loads(merged.read_text())["versions"]["torch"] == "0.1"


def test_tables_of_earlier_scores_go_when_nothing_can_be_shown(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    path = suites.write(tmp_path, shift("a"), doubt("bad", fault="raise"))
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "1"]) == 1
    assert not (tmp_path / "small" / "tables").exists()
    assert len(pd.read_parquet(tmp_path / "small" / "failures.parquet")) == 2
    assert app.main(["verify", path, "--results", str(tmp_path)]) == 0


def test_damage_that_keeps_its_time_is_named_to_the_last(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run = line(tmp_path, tmp_path)
    paths = sorted(tmp_path.glob("small/cells/score/*/scores.parquet"))[:2]
    for path in paths:
        times = path.stat()
        path.write_bytes(b"x" * times.st_size)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    (tmp_path / "small" / "run.json").unlink()
    assert app.main(run) == 2  # one of them is met, and named
    assert "cannot read" in capsys.readouterr().err
    assert app.main(["verify", run[1], "--results", str(tmp_path), "--sample", "0"]) == 1
    said = capsys.readouterr().out
    assert sum(str(path) in said for path in paths) == 1  # the other
    assert app.main(run) == 0
    assert "2 cells run" in capsys.readouterr().err
    assert same(whole, tmp_path)


@pytest.mark.parametrize("kind", ["benign", "score"])
def test_a_score_that_is_not_what_it_should_be_is_made_again(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run, store = line(tmp_path, tmp_path), Store(tmp_path / "small" / "cells")
    name = next(identity for of, identity in store.cells() if of == kind)
    neighbour = store.begin(kind, name)
    shutil.copytree(store.path(kind, name), neighbour, dirs_exist_ok=True)
    frame = pd.read_parquet(neighbour / "scores.parquet")
    frame.assign(score=frame["score"] + 1.0).to_parquet(neighbour / "scores.parquet")
    facts = json.loads((neighbour / "cell.json").read_text())
    shutil.rmtree(store.path(kind, name))
    names = ("title", "spec", "parents", "versions")
    sidecar = json.loads((neighbour / "provenance.json").read_text())
    store.commit(kind, name, neighbour, {key: facts[key] for key in names}, sidecar)
    check = ["verify", run[1], "--results", str(tmp_path), "--sample", str(SCORES)]
    assert app.main(check) == 1
    assert "when it is computed again; remedy: run again" in capsys.readouterr().out
    assert app.main(run) == 0
    assert "1 cells run" in capsys.readouterr().err
    assert same(whole, tmp_path)


def test_there_is_nothing_to_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = suites.write(tmp_path, *PARTS)
    assert app.main(["verify", path, "--results", str(tmp_path / "nowhere")]) == 2
    assert "no results in" in capsys.readouterr().err


DAMAGED = (
    "cells/victim/*/victim.safetensors",
    "cells/fit/*/prepared.safetensors",
    "cells/attack/*/attacked.safetensors",
    "cells/attack/*/models.safetensors",
    "cells/attack/*/targets.parquet",
    "cells/benign/*/scores.parquet",
    "cells/score/*/scores.parquet",
    "cells/score/*/cell.json",
    "cells/attack/*/provenance.json",
    "run.json",
    "scores.parquet",
    "flips.parquet",
    "tables/detection.csv",
    "tables/attacks.md",
)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "flipped", "replaced"])
@pytest.mark.parametrize("pattern", DAMAGED)
def test_any_damaged_file_is_found_named_and_made_again(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pattern: str, how: str
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run = line(tmp_path, tmp_path)
    check = ["verify", run[1], "--results", str(tmp_path), "--sample", str(SCORES)]
    path = sorted((tmp_path / "small").glob(pattern))[0]
    good = path.read_bytes()
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 4]) + good[middle + 1 :]
    bad = {"cut": good[:middle], "flipped": flipped, "replaced": b"garbage"}
    path.unlink()
    path.write_bytes(bad[how])
    capsys.readouterr()
    assert app.main(check) == 1
    assert str(path) in capsys.readouterr().out
    assert app.main(run) == 0
    assert app.main(check) == 0
    assert same(whole, tmp_path)
