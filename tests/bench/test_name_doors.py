"""Every door through which a name leaves: the calls in the sources, and the commands."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from evil_twins.bench.analysis import plots
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.commands import app
from tests.bench import reported, strange, suites, synthetic

ROOT = Path(__file__).parents[2]
DOORS: dict[str, set[str]] = {
    "print": {"bench/printable.py"},
    "Console": set(),
    "Screen": {"bench/run/screen.py"},
    "get_console": set(),
    "soft_wrap": {"bench/run/screen.py"},  # a line that is not wrapped is one line
    "stdout": {"bench/printable.py", "bench/run/streams.py"},  # it opens and flushes them
    "stderr": {"bench/printable.py", "bench/run/streams.py", "bench/subjects/published.py"},
    "to_csv": {"bench/analysis/tables/write.py"},
    "to_latex": {"bench/analysis/tables/forms.py"},
    "print_svg": {"bench/analysis/plots/encode.py"},
    "print_png": {"bench/analysis/plots/encode.py"},
    "savefig": {"bench/analysis/plots/canvas.py"},  # of a figure whose texts are literal
    "Environment": {"bench/analysis/page/render.py"},
    "from_markup": set(),
    "getLogger": {"bench/subjects/networks/of_file.py"},  # to silence it
    "warn": {"api/evaluation.py", "bench/run/workspace.py"},  # an escaped reason
    "secho": set(),
    "echo": set(),
    "print_exc": set(),
}
"""Call that shows a text -> the files that may call it."""


def _uses(path: Path) -> Iterator[str]:
    """Yield the calls in a file by the last part of their names, and the streams of the process."""
    for node in _nodes(path):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield name if "print" in name.split(".") else name.rpartition(".")[2]
            yield from (word.arg for word in node.keywords if word.arg == "soft_wrap")
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys":
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and node.module == "sys":
            yield from (alias.name for alias in node.names)


def _product() -> list[Path]:
    rooms = ("api", "attacks", "bench", "detectors")
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def test_a_text_is_shown_in_these_files_alone() -> None:
    users = {name: set[str]() for name in DOORS}
    for path in _product():
        for name in users.keys() & set(_uses(path)):
            users[name].add(path.relative_to(ROOT).as_posix())
    assert users == DOORS, "Show texts by printable.say, run.screen or tables.write.csv."


def test_a_spinner_shows_a_text_without_markup() -> None:
    for path in _product():
        for node in _nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("console.status"):
                text = node.args[0]
                literal = isinstance(text, ast.Call) and ast.unparse(text.func) == "Text"
                assert literal or isinstance(text, ast.Constant), f"{path}: console.status(Text(…))"


def test_the_cells_of_a_row_are_escaped() -> None:
    for path in _product():
        for node in _nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".add_row"):
                cells = ast.unparse(node.args[0])
                assert cells.startswith("*printable.cells("), f"{path}: *printable.cells(…)"
                assert len(node.args) == 1


ENCODED = strange.CONTROL.replace("\udcff", "")
NAMED = {"dataset", "victim", "attack", "method", "layers", "detector", "list", "target_id"}
NAMED |= {"image_id", "kind", "cell", "reason", "log", "group"}
READERS = {
    "table": ["table {}", "table {} --fpr 0.2"],
    "plot": ["plot {}"],
    "report": ["report {}"],
    "claims": ["claims {}"],
}
READERS["table"] += [f"table {{}} --format {form}" for form in ("md", "csv", "latex")]
WORKERS = {
    "plan": ["plan {}"],
    "run": ["run {} --jobs 1", "run {} --jobs 1 --only $*"],
    "verify": ["verify {} --sample 1"],
    "compare": [f"compare {suites.PLUGINS}:Doubt(scale=2.0) --suite {{}} --jobs 1"],
    "prune": ["prune {}"],
}
"""Command -> its lines, with a place for the suite."""
OTHERS = {
    "list": "shows built-in and installed names",
    "check": "tests/contract/test_check.py shows the words of a component",
    "score": "tests/bench/run/test_scoring.py shows the names of images",
    "generality": "tests/bench/commands/test_generality.py shows the names of records",
    "merge": "test_a_folder_of_another_suite_is_named_escaped",
    "reproduce": "shows names of a table, whose records are read escaped",
}
"""Commands that another test covers."""


def test_every_command_is_a_door_of_a_test() -> None:
    commands = {c.name or c.callback.__name__ for c in app.app.registered_commands if c.callback}
    assert commands == {*READERS, *WORKERS, *OTHERS}


def _run(line: str, suite: str, where: list[str]) -> int:
    return app.main([*(word.format(suite) for word in line.split()), *where])


def _shown(capsys: pytest.CaptureFixture[str]) -> str:
    streams = capsys.readouterr()
    text = streams.out + streams.err
    assert not strange.controls(text)
    return text


def _files(folder: Path) -> None:
    """Check that no text file of a run holds a character that controls."""
    for path in folder.rglob("*"):
        if path.suffix in (".csv", ".md", ".html", ".svg", ".log", ".json"):
            assert not strange.controls(path.read_text(encoding="utf-8")), path


def test_records_of_a_stranger_control_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, few = r"=*[0pt]$\frac{$ [red] <script>[" + ENCODED, ("roc", "images")
    monkeypatch.setattr(plots, "FIGURES", [k for k in plots.FIGURES if k.name in few])
    frames = reported.frames(n=6)
    for part, frame in frames.items():
        columns = NAMED & set(frame.columns)
        texts = {c: [f"{name}{v}" if v else v for v in frame[c].astype(str)] for c in columns}
        frames[part] = frame.assign(**texts)
    frames["targets"]["list"] = "confirmatory"
    synthetic.write(tmp_path / "small", frames)
    where = ["--results", str(tmp_path)]
    assert not any(_run(line, "small", where) for lines in READERS.values() for line in lines)
    assert "untouched" in _shown(capsys)
    _files(tmp_path)


def test_a_folder_of_results_has_a_name_of_utf8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["plan", "quick", "--results", str(tmp_path / "a\udcff")]) == 2
    assert "has a name that is not UTF-8" in _shown(capsys)


def test_the_figures_of_a_study_lie_in_its_folder(tmp_path: Path) -> None:
    records = reported.frames(n=4)
    names = ("../../a/../..", "b/c\n")
    both = [
        {k: f.assign(**dict.fromkeys({"victim"} & {*f}, name)) for k, f in records.items()}
        for name in names
    ]
    frames = {part: pd.concat([side[part] for side in both], ignore_index=True) for part in records}
    directory = synthetic.write(tmp_path / "small", frames)
    for study in studies(Analysis(directory)):
        assert (directory / f"roc{study.suffix}.svg").parent == directory
        assert not strange.controls(study.suffix)


def test_a_folder_of_another_suite_is_named_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "theirs" / "a\n\x1b[2J" / "cells").mkdir(parents=True)
    assert app.main(["merge", str(tmp_path / "theirs"), "--results", str(tmp_path / "mine")]) == 0
    assert r"a\n\x1b[2J" in _shown(capsys)


LABELS = (r"$\frac{$ [red] =1", "=*[0pt] 中")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A data folder of two classes, with strange names of itself, its classes and its images."""
    folder = tmp_path / "data\n\x1b[2J[b]$_{\udcff"
    bunch = load_digits()
    for i, (image, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
        if label < 2:
            half = "train" if i % 2 else "test"
            place = folder / half / ("=1\n\x1b]0;x\x07", "[red]$\\frac{$")[label]
            place.mkdir(parents=True, exist_ok=True)
            pixels = np.rint(image * 255 / 16).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"\u202e\udcff{i}\r\n.png")
    (folder / "train" / "=1\n\x1b]0;x\x07" / "\x1b[2J\n.png").write_bytes(b"no image")
    return folder


def test_a_run_with_strange_names_ends_well_and_controls_nothing(
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = ("roc", "images")
    monkeypatch.setattr(plots, "FIGURES", [k for k in plots.FIGURES if k.name in few])
    head = suites.HEAD.replace('"digits"', '"folder"').replace("count = 4", "count = 2")
    parts = suites.shift(LABELS[0]), suites.shift("raises", fault="raise"), suites.doubt(LABELS[1])
    path = suites.write(tmp_path, *parts, suites.doubt("plain"), head=head)
    results = tmp_path / "results\x1b[1m"
    where = ["--data", str(pictures), "--results", str(results)]
    assert [_run(line, path, where) for lines in WORKERS.values() for line in lines] == [
        *(0, 1, 0, 0, 0, 0)
    ]
    assert pd.read_parquet(results / "small" / "targets.parquet")["attack"].eq(LABELS[0]).all()
    shown = _shown(capsys)
    assert LABELS[0] in shown
    assert r"\x1b[2J\n.png" in shown
    _files(results)
