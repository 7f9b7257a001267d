"""The command line, and its messages when something is wrong."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from rich.console import Group

import evil_twins
from evil_twins.bench.cells.stored import cached_victim
from evil_twins.bench.commands import app
from evil_twins.bench.store import records
from evil_twins.bench.suite import suite
from tests.bench import suites, synthetic
from tests.bench.runs import mistake
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("no_figures")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("quick", "digits", "folder", "resnet-tiny", "imc", "curvature", "isic2018"):
        assert name in shown
    for name in suite.built_in():
        assert name in shown


def test_what_reads_loads_no_torch() -> None:
    code = (
        "import sys; from evil_twins.bench.commands import app; app.main(['list']);"
        "app.main(['table', 'none']); sys.exit('torch' in sys.modules)"
    )
    assert _python("-c", code).returncode == 0


def test_help_and_version_have_their_usual_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"evil-twins {evil_twins.__version__}\n"
    for words in (["-h"], ["table", "-h"]):
        assert app.main(words) == 0
        assert "Usage: evil-twins" in capsys.readouterr().out


def test_another_false_positive_rate_leaves_the_files_of_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    line = ["table", "small", "--results", str(tmp_path)]
    assert app.main(line) == 0
    stored = {p: p.read_bytes() for p in (tmp_path / "small").rglob("*") if p.is_file()}
    assert "FPR 5 %" in " ".join(capsys.readouterr().out.split())
    assert app.main([*line, "--fpr", "0.2"]) == 0
    assert "FPR 20 %" in " ".join(capsys.readouterr().out.split())
    assert stored == {p: p.read_bytes() for p in (tmp_path / "small").rglob("*") if p.is_file()}
    assert "--fpr" in mistake(capsys, *line, "--fpr", "5")


def test_module_and_status() -> None:
    done = _python("-m", "evil_twins", "run", "quik")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == "evil-twins: unknown suite 'quik': did you mean 'quick'?"


def test_a_run_ends_with_a_table_and_the_next_one_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = suites.write(tmp_path, shift(), shift("both", poison=True), doubt())
    line = ["run", path, "--results", str(tmp_path), "--jobs", "1"]
    assert app.main(line) == 0
    streams = capsys.readouterr()
    assert "both" in streams.out
    assert "no cell failed" in streams.out
    assert "6 cells run, 0 stored" in streams.err
    stored = {p: p.stat().st_mtime_ns for p in (tmp_path / "small").rglob("*") if p.is_file()}
    assert app.main(line) == 0
    assert "0 cells run, 6 stored" in capsys.readouterr().err
    after = {p: p.stat().st_mtime_ns for p in (tmp_path / "small").rglob("*") if p.is_file()}
    assert after == stored
    assert (tmp_path / "small" / "tables" / "detection.csv").exists()
    assert app.main(["table", path, "--results", str(tmp_path)]) == 0
    assert "both" in capsys.readouterr().out


def _conclusion(errors: str) -> list[str]:
    """Return the last lines, after a line for each cell."""
    return [line for line in errors.strip().splitlines() if not line.startswith("[")]


def test_a_fault_inside_a_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {
        "attack": {"nan": "NaN", "range": "expected [0, 1]", "shape": "expected 4×1×8×8"},
        "detector": {"nan": "NaN", "length": " numbers for "},
    }
    faulty = [shift(f"attack-{fault}", fault=fault) for fault in kinds["attack"]]
    faulty += [doubt(f"detector-{fault}", fault=fault) for fault in kinds["detector"]]
    path = suites.write(tmp_path, shift(), doubt(), *faulty)
    line = ["run", path, "--results", str(tmp_path), "--jobs", "1"]
    small = tmp_path / "small"
    for _ in range(2):
        assert app.main(line) == 1
        streams = capsys.readouterr()
        assert "Traceback" not in streams.err + streams.out
        failures = records.read(small / "failures.parquet", records.FILES["failures"])
        for kind, faults in kinds.items():
            for fault, said in faults.items():
                name = f"{kind}-{fault}"
                reasons = [why for why in failures["reason"] if f"{kind} {name!r}" in why]
                # A detector fails on benign images and on attacked ones.
                assert len(reasons) == {"attack": 1, "detector": 2}[kind]
                assert all(said in reason for reason in reasons)
                assert name in streams.out
        first, *rest = _conclusion(streams.err)
        assert "returned" in first
        assert first.endswith("(and 6 more)")
        assert len(rest) == 2
    kept = records.read(small / "scores.parquet", records.FILES["scores"])
    assert set(kept["attack"]) == {"shift"}
    assert kept["detector"].eq("doubt").sum() == len(kept) == 164


def test_if_nothing_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = suites.write(tmp_path, shift("bad", fault="nan"), doubt())
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "1"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "attack 'bad' returned NaN" in streams.err


def test_a_damaged_victim_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", suites.write(tmp_path, shift(), doubt()), "--results", str(tmp_path)]
    assert app.main([*line, "--jobs", "1"]) == 0
    (file,) = (tmp_path / "small" / "cells" / "victim").glob("*/victim.safetensors")
    times = file.stat()
    file.unlink()  # not written over: this process has mapped it into its memory
    file.write_bytes(b"x" * times.st_size)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    cached_victim.cache_clear()
    suites.write(tmp_path, shift(), doubt(), doubt("new", scale=2.0))
    capsys.readouterr()
    assert app.main([*line, "--jobs", "1"]) == 1
    said = capsys.readouterr().err
    assert f"{file} is missing or damaged; remedy: run again" in said
    assert len(_conclusion(said)) <= 3
    assert app.main([*line, "--jobs", "1"]) == 0


def test_an_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(directory: Path, *, watch: object) -> Group:
        raise KeyboardInterrupt

    monkeypatch.setattr("evil_twins.bench.analysis.tables.write", stop)
    monkeypatch.setattr("evil_twins.bench.commands.options.records_folder", lambda *_: Path())
    assert app.main(["table"]) == 130


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_and_no_finished_cell_behind(tmp_path: Path) -> None:
    path = suites.write(tmp_path, *(shift(f"a{i}", amount=i / 99) for i in range(40)), doubt())
    line = [
        sys.executable,
        "-m",
        "evil_twins",
        "run",
        path,
        "--results",
        str(tmp_path),
        "--jobs",
        "2",
    ]
    # A shell's background jobs ignore SIGINT, and their children with them.
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        line, start_new_session=True, stderr=subprocess.PIPE, preexec_fn=listen
    ) as process:
        cells = tmp_path / "small" / "cells"
        while len(list(cells.glob("attack/*/cell.json"))) < 3:
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Traceback" not in said
    kept = {p: p.stat().st_mtime_ns for p in cells.glob("*/*/cell.json")}
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "1"]) == 0
    assert all(p.stat().st_mtime_ns == changed for p, changed in kept.items())
    assert not list(cells.glob("*/.*"))
