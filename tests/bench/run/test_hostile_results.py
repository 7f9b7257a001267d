"""Results of a stranger: no command writes, reads or removes anything outside, or hangs."""

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.cells.stored import cached_victim
from evil_twins.bench.commands import app
from evil_twins.bench.store import json_files
from evil_twins.bench.store.checksums import checksum
from tests.bench import small_run

pytestmark = pytest.mark.usefixtures("no_figures", "no_workers")

SECRET = "a secret of the user"
SECONDS = 60

GROUPS = (
    *(("*.parquet",), ("run.json", "derived.json", "claims.csv", "index.html")),
    *(("tables/*.csv", "cells/.lock"), ("cells/*/*/cell.json",), ("cells/*/*/*.parquet",)),
    *(("cells/*/*/provenance.json", "cells/*/*.failed.json", "cells/*/*.log"),),
    *(("cells/*/*/*.safetensors",), ("tables", "figures", "fpr-0.01"), ("cells/score/*/",)),
    *(("cells/score",), ("cells",), ("",)),
)
"""Patterns of everything that a run and the other commands leave in the folder of a suite.

Those of a group may be spoiled at once: no command stops at one of them before it meets another.
"""

PATTERNS = [pattern for group in GROUPS for pattern in group]

COMMANDS = {
    "table": ["--fpr=0.05"],
    "plot": [],
    "claims": [],
    "report": ["--fpr=0.01"],
    "plan": [],
    "verify": ["--sample=1"],
    "prune": [],
    "merge": [],
    "run": ["--jobs=1"],
    "compare": ["--jobs=1"],
    "reproduce": ["--jobs=1"],
    "generality": [f"{Path(__file__).parents[3]}/results/reference/quick"],
}


@pytest.fixture(scope="module")
def finished(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with every file that a command may leave."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copytree(whole / "small", folder / "results" / "small")
    small_run.line(folder, folder)
    small = folder / "results" / "small"
    for command in ("claims", "report"):
        assert app.main([command, "small", "--results", str(folder / "results")]) == 0
    for name in ("figures", "fpr-0.01"):
        (small / name).mkdir(exist_ok=True)
    for name in ("x.failed.json", "x.log"):
        (small / "cells" / "score" / name).write_text("{}")
    return folder


@contextmanager
def limit() -> Iterator[None]:
    """Fail where a command hangs."""

    def late(*_: object) -> None:
        pytest.fail(f"it took over {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def spoil(path: Path, kind: str, outside: Path) -> None:
    """Put a link or something that is no regular file in the place of a file or a folder."""
    twin = outside / path.name
    if path.is_dir():
        shutil.copytree(path, twin, symlinks=True)
        shutil.rmtree(path)
    else:
        twin.write_text(SECRET)
        path.unlink()
    if kind == "link":
        path.symlink_to(twin)
    else:
        os.mkfifo(path)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files and folders, with the content of files."""
    paths = sorted(folder.rglob("*"))
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in paths}


def words(command: str, folder: Path) -> list[str]:
    """Return the arguments of a command."""
    results, path = str(folder / "results"), str(folder / "small.toml")
    if command == "merge":
        return ["merge", results, "--results", str(folder / "both")]
    first = ["confidence", path] if command == "compare" else [path]
    stored = ["--stored", results] if command == "reproduce" else []
    return [command, *first, "--results", results, *stored, *COMMANDS[command]]


def check(
    finished: Path, tmp_path: Path, patterns: tuple[str, ...], kind: str, commands: tuple[str, ...]
) -> None:
    """Run commands on results in which the files of some patterns are spoiled."""
    folder, outside = tmp_path / "stranger", tmp_path / "outside"
    shutil.copytree(finished, folder)
    outside.mkdir()
    small = folder / "results" / "small"
    of_each = [sorted(small.glob(pattern)) if pattern else [small] for pattern in patterns]
    assert all(of_each), patterns
    paths = [path for paths in of_each for path in paths]
    for number, path in enumerate(paths):
        (outside / str(number)).mkdir()
        spoil(path, kind, outside / str(number))
    before = contents(outside)
    for command in commands:
        cached_victim.cache_clear()
        with limit():
            assert app.main(words(command, folder)) in (0, 1, 2)
        assert contents(outside) == before, command
    for path in [*folder.rglob("*"), *tmp_path.glob("both/**/*")]:
        if path.is_file() and not path.is_symlink():
            assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_links(
    finished: Path, tmp_path: Path, group: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    check(finished, tmp_path, group, "link", ("merge", "prune", "table"))
    streams = capsys.readouterr()
    assert SECRET not in streams.out + streams.err


def test_merge_copies_listed_files_only(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "stranger")
    cell = next((tmp_path / "stranger").glob("results/small/cells/attack/*/"))
    (tmp_path / "secret").write_text(SECRET)
    (cell / "link").symlink_to(tmp_path / "secret")
    (cell / "unlisted").write_text("1")
    (cell / "endless").symlink_to("/dev/zero")
    with limit():
        assert app.main(words("merge", tmp_path / "stranger")) == 0
    copies = {path.name for path in (tmp_path / "stranger" / "both").rglob("*")}
    assert cell.name in copies
    assert not copies & {"link", "unlisted", "endless"}


def test_prune_removes_a_link_and_keeps_its_target(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "stranger")
    cells = tmp_path / "stranger" / "results" / "small" / "cells"
    outside = tmp_path / "outside"
    for name in ("empty", "cell"):
        (outside / name).mkdir(parents=True)
        (outside / name / "file").write_text(SECRET)
        (cells / "score" / name).symlink_to(outside / name)
    (outside / "cell" / "cell.json").write_text("{}")
    (cells / "score" / "x.log").unlink()
    (cells / "score" / "x.log").symlink_to(outside / "empty" / "file")
    before = contents(outside)
    assert app.main(words("prune", tmp_path / "stranger")) == 0
    assert contents(outside) == before
    assert not [path for path in cells.rglob("*") if path.is_symlink()]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["link", "pipe"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_command_leaves_the_results(
    finished: Path,
    tmp_path: Path,
    pattern: str,
    kind: str,
    command: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    check(finished, tmp_path, (pattern,), kind, (command,))
    streams = capsys.readouterr()
    assert SECRET not in streams.out + streams.err


def test_every_command_with_results_is_tested() -> None:
    reading = {
        command.name or command.callback.__name__
        for command in app.app.registered_commands
        if command.callback and "results" in command.callback.__annotations__
    }
    assert reading == set(COMMANDS)


def test_tables_next_to_a_forged_mark_are_made_again(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "mine")
    small = tmp_path / "mine" / "results" / "small"
    path, note = small / "tables" / "detection.csv", small / "run.json"
    assert app.main(words("run", tmp_path / "mine")) == 0  # the page was made after the last run
    true, facts = path.read_bytes(), json.loads(note.read_text())
    stamp = note.stat().st_mtime_ns
    assert app.main(words("run", tmp_path / "mine")) == 0
    assert note.stat().st_mtime_ns == stamp
    path.write_bytes(true.replace(b"doubt", b"worse"))
    facts["files"]["tables/detection.csv"] = checksum(path, small)
    del facts["seal"]
    note.write_bytes(json_files.seal(facts))
    assert app.main(words("run", tmp_path / "mine")) == 0
    assert path.read_bytes() == true


@pytest.mark.parametrize("content", ["\x1b[31m" * 8, "f" * 63, "<script>"])
def test_a_victim_whose_hash_is_no_hash_is_damage(
    finished: Path, tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished, tmp_path / "stranger")
    path = tmp_path / "stranger" / "results" / "small" / "victims.parquet"
    before = path.read_bytes()
    pd.read_parquet(path).assign(content=content).to_parquet(path)
    for command in ("table", "report", "claims"):
        assert app.main(words(command, tmp_path / "stranger")) == 2
        streams = capsys.readouterr()
        assert "victims.parquet: the column content holds what is no SHA-256" in streams.err
        assert content not in streams.out + streams.err
    assert app.main(words("verify", tmp_path / "stranger")) == 1
    assert "victims.parquet is not what the stored results give" in capsys.readouterr().out
    assert app.main(words("run", tmp_path / "stranger")) == 0
    assert path.read_bytes() == before


def test_the_named_folder_may_be_a_link(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "mine")
    (tmp_path / "mine" / "results").rename(tmp_path / "elsewhere")
    (tmp_path / "mine" / "results").symlink_to(tmp_path / "elsewhere")
    for command in ("table", "run"):
        assert app.main(words(command, tmp_path / "mine")) == 0
