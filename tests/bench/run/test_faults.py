"""Mishaps of long runs: kills, full disks, two runs at once."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.bench import suites
from tests.bench.suites import doubt, far, shift

ROOT = Path(__file__).parents[3]
KILLS = 50

MANY = (
    *(shift(f"a{i}", amount=0.02 * i, seconds=0.2) for i in range(6)),
    shift("both", poison=True, seconds=0.2),
    doubt(),
    doubt("twice", scale=2.0),
    far(),
)


def _start(
    folder: Path,
    results: Path,
    *more: str,
    prepare: Callable[[], None] | None = None,
    log: Path | None = None,
) -> subprocess.Popen[str]:
    """Start a run in a new process and process group."""
    line = [sys.executable, "-m", "evil_twins", "run", str(folder / "small.toml")]

    def begin() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background ignores it
        if prepare:
            prepare()

    return subprocess.Popen(
        [*line, "--results", str(results), *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=begin,
        env=os.environ | ({"EXECUTED": str(log)} if log else {}),
    )


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def _gone(group: int) -> bool:
    """Check whether every process of a group ends by itself within a few seconds."""
    for _ in range(100):
        if not any(map(partial(_alive, group), psutil.process_iter())):
            return True
        time.sleep(0.1)
    return False


def _alive(group: int, process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _derived(results: Path) -> dict[str, bytes]:
    files = [*results.glob("small/*.parquet"), *results.glob("small/tables/*")]
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(files)}


def _finished(results: Path) -> dict[str, int]:
    """Return the finished cells with their inodes, which change if a cell is stored again."""
    return {
        str(path.parent.relative_to(results)): path.stat().st_ino
        for path in results.glob("small/cells/*/[!.]*/cell.json")
    }


def _attacks(results: Path, log: Path | None = None) -> set[str]:
    """Return the finished attacks, or those that a run began according to its log."""
    if log is not None:
        return set(log.read_text().splitlines())
    attacks = [
        json.loads(path.read_text())["spec"]["attack"]["parameters"]
        for path in results.glob("small/cells/attack/[!.]*/cell.json")
    ]
    return {f"{attack['amount']} {attack['poison']}" for attack in attacks}


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    suites.write(tmp_path, *MANY)
    start = time.monotonic()
    assert _end(_start(tmp_path, tmp_path / "calm", "--jobs", "2"))[0] == 0
    usual = time.monotonic() - start
    wanted = _derived(tmp_path / "calm")
    moments, kills, lives = random.Random(0), 0, 0
    while kills < KILLS or lives == 0:
        results, done = tmp_path / f"life{lives}", dict[str, int]()
        while True:
            attacked, log = _attacks(results), tmp_path / "executed"
            log.write_text("")
            process = _start(tmp_path, results, "--jobs", "2", log=log)
            try:
                process.wait(moments.uniform(0.0, usual) if kills < KILLS else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            assert _gone(process.pid), "a worker outlives the run"
            assert not attacked & _attacks(results, log), "a finished cell was computed twice"
            now = _finished(results)
            assert done.items() <= now.items(), "a finished cell was put into its place twice"
            done = now
            if _end(process)[0] != -signal.SIGKILL:
                break
        lives += 1
        assert process.returncode == 0
        assert _derived(results) == wanted
        assert not list(results.glob("small/cells/*/.*"))


@pytest.mark.slow
def test_two_runs_at_once_in_one_folder_do_not_harm_each_other(tmp_path: Path) -> None:
    suites.write(tmp_path, *MANY)
    assert _end(_start(tmp_path, tmp_path / "single"))[0] == 0
    both = [_start(tmp_path, tmp_path / "both", "--jobs", "2") for _ in range(2)]
    assert [_end(process)[0] for process in both] == [0, 0]
    assert _derived(tmp_path / "both") == _derived(tmp_path / "single")
    assert not list((tmp_path / "both").glob("small/cells/*/.*"))
    assert not list((tmp_path / "both").glob("small/cells/*/*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_stops_what_does_not_fit(tmp_path: Path, jobs: str) -> None:
    head = suites.HEAD.replace("count = 4", "count = 16")
    suites.write(tmp_path, shift(), shift("big", fault="huge"), doubt(), head=head)
    limit = 2**18  # sixteen models are larger, all else is smaller

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    status, errors = _end(_start(tmp_path, tmp_path, "--jobs", jobs, prepare=fill))
    assert status == 1
    assert "attack big: " in errors
    assert "File too large" in errors
    failures = pd.read_parquet(tmp_path / "small" / "failures.parquet").set_index("cell")
    assert set(failures.index) == {"big", "doubt × big"}
    assert (tmp_path / "small" / failures.loc["big", "log"]).read_text()
    scores = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    assert set(scores["attack"]) == {"shift"}
    assert not list(tmp_path.glob("small/cells/*/.*"))
    assert _end(_start(tmp_path, tmp_path))[0] == 0


@pytest.mark.slow
def test_a_disk_too_full_for_the_records_is_said_in_three_lines(tmp_path: Path) -> None:
    suites.write(tmp_path, shift(), doubt())

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))

    status, errors = _end(_start(tmp_path, tmp_path, "--jobs", "1", prepare=fill))
    said = [line for line in errors.splitlines() if not line.startswith("[")]
    assert status == 1
    assert "File too large" in errors
    assert "Traceback" not in errors
    assert len(said) <= 3
    assert _end(_start(tmp_path, tmp_path, "--jobs", "1"))[0] == 0


@pytest.mark.slow
def test_a_cell_without_memory_fails_alone(tmp_path: Path) -> None:
    suites.write(tmp_path, shift(), doubt(), doubt("greedy", fault="memory"))
    status, errors = _end(_start(tmp_path, tmp_path, "--jobs", "2"))
    assert status == 1
    assert "score greedy × shift: RuntimeError" in errors
    assert "memory" in errors
    scores = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    assert set(scores["detector"]) == {"doubt"}


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_a_run_and_a_second_ends_it_at_once(tmp_path: Path, jobs: str) -> None:
    suites.write(tmp_path, shift("quick"), shift("slow", amount=0.2, seconds=100), doubt())
    for strokes in (1, 2):
        process = _start(tmp_path, tmp_path, "--jobs", jobs)
        while not list(tmp_path.glob("small/cells/attack/.*")) or not _finished(tmp_path):
            time.sleep(0.1)
        time.sleep(2 * strokes)
        for _ in range(strokes):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.2)
        status, errors = _end(process)
        assert status in (130, -signal.SIGINT)  # 130 either way where a shell reads it
        assert strokes == 2 or "interrupted; finished cells are kept" in errors
        assert strokes == 2 or "cells are stored in" in errors
        assert "Traceback" not in errors
        assert _gone(process.pid)


@pytest.mark.slow
def test_shards_that_run_at_once_in_one_folder_end_in_the_tables_of_the_whole(
    tmp_path: Path,
) -> None:
    suites.write(tmp_path, *MANY)
    assert _end(_start(tmp_path, tmp_path / "single"))[0] == 0
    both = tmp_path / "both"
    assert _end(_start(tmp_path, both, "--limit", "1"))[0] == 0
    shards = [_start(tmp_path, both, "--jobs", "1", "--shard", f"{i}/3") for i in (1, 2, 3)]
    assert [_end(process)[0] for process in shards] == [0, 0, 0]
    assert _derived(both) == _derived(tmp_path / "single")
