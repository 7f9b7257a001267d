"""Commands, snippets, links, names and columns of the documents are valid."""

import ast
import configparser
import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.main import get_command

from evil_twins.attacks import ATTACKS
from evil_twins.bench.commands import app
from evil_twins.bench.components.names import GROUPS
from evil_twins.bench.run.plan import plan
from evil_twins.bench.subjects.architectures import ARCHITECTURES
from evil_twins.bench.subjects.data import load
from evil_twins.bench.suite import suite
from evil_twins.detectors import DETECTORS
from tests.bench import suites
from tests.bench.pictures import picture
from tests.bench.suites import doubt, shift

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md")),
    *sorted(DOCS.glob("*.md")),
]
COMMANDS = get_command(app.app).commands  # type: ignore[attr-defined]
SUITES = {path.stem for path in (ROOT / "bench" / "suite" / "built_in").glob("*.toml")}
CSV = sorted((ROOT / "results" / "reference").glob("*/tables/*.csv"))
CSV += sorted((ROOT / "results" / "reference").glob("*/claims.csv"))


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"(?ms)^ *```(\w*)\n(.*?)^ *```$", page.read_text())
    return [code for name, code in fenced if name == language]


def _typed(page: Path, program: str) -> list[str]:
    """Return the arguments of each call of the program in a page."""
    return re.findall(rf"(?m)(?:`|^ *|&& |srun ){program} ([^`\n&|#]*)", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_command_option_and_suite_exists(page: Path) -> None:
    for line in _typed(page, "evil-twins"):
        name, *rest = line.split()
        assert name in COMMANDS, line
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, line
        if name in {"run", "plan", "claims", "verify"} and rest and rest[0][0] not in "-[":
            assert rest[0] in SUITES | {"SUITE", "<suite>"} or rest[0].endswith(".toml"), line


def test_pages_are_read() -> None:
    assert sum(len(_typed(page, "evil-twins")) for page in PAGES) > 40


def test_every_command_is_documented() -> None:
    typed = {line.split()[0] for page in PAGES for line in _typed(page, "evil-twins")}
    text = "".join(page.read_text() for page in PAGES)
    absent = {name for name in set(COMMANDS) - typed if f"`evil-twins {name}" not in text}
    assert not absent, f"mention {absent} in README.md or docs/"


def test_environments_and_extras_exist() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    environments = {name.removeprefix("testenv:") for name in tox.sections()}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for page in PAGES:
        assert set(re.findall(r"\btox -e ([\w-]+)", page.read_text())) <= environments
        typed = re.findall(r"pip install[^\n`]*\[([\w,]+)\]", page.read_text())
        assert {extra for extras_typed in typed for extra in extras_typed.split(",")} <= set(extras)


def test_options_of_dask_exist() -> None:
    worker = pytest.importorskip("distributed.cli.dask_worker").main
    options = {option for parameter in worker.params for option in parameter.opts}
    (line,) = [line for line in _blocks(DOCS / "many-machines.md", "") if "dask worker" in line]
    (command,) = re.findall(r"dask worker.*", line)
    assert set(re.findall(r"--[a-z-]+", command)) <= options


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_within_the_project_have_a_target(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_every_python_snippet_has_a_test() -> None:
    """Except the two that need a cluster; a new snippet needs a test that runs it."""
    counts = {_id(page): len(_blocks(page, "python")) for page in PAGES}
    clusters = [
        code
        for code in _blocks(DOCS / "many-machines.md", "python")
        if re.search(r"^from dask_", code, re.MULTILINE)
    ]
    assert {page: count for page, count in counts.items() if count} == {
        "README.md": 3,
        "docs/data.md": 1,
        "docs/many-machines.md": 1 + len(clusters),
        "docs/own.md": 1,
    }
    assert len(clusters) == 2


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_imports_of_python_snippets_work(page: Path) -> None:
    for code in _blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("evil_twins"):
                module = importlib.import_module(str(node.module))
                for name in node.names:
                    if not hasattr(module, name.name):
                        importlib.import_module(f"{node.module}.{name.name}")


def test_weights_are_stored_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(_blocks(DOCS / "own.md", "python")[0], "docs/own.md", "exec"), {})
    (key,) = re.findall(r'`(weights = "[^`]+)`', (DOCS / "own.md").read_text())
    head = suites.HEAD.replace("recipe = { epochs = 2 }", key)
    loaded = suite.load(suites.write(tmp_path, shift(), doubt(), head=head))
    assert plan(loaded, load("digits"), "cpu").cells


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_suites_in_pages_load(page: Path, tmp_path: Path) -> None:
    for code in _blocks(page, "toml"):
        whole = "attacks" in tomllib.loads(code)  # else the part of the victim
        head = code if whole else suites.HEAD.split("[victim]")[0] + code + "[targets]\ncount = 4\n"
        loaded = suite.load(
            suites.write(tmp_path, *(() if whole else (shift(), doubt())), head=head)
        )
        assert loaded.victim.architecture in ARCHITECTURES


def test_a_folder_of_images_makes_a_suite_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "own.md"
    Path("own.toml").write_text(_blocks(page, "toml")[0])
    (needed,) = re.findall(r"40 targets take\s+(\d+) test images", page.read_text())
    for half in re.findall(r"(?m)^images/(\w+)/<class>/\*$", page.read_text()):
        for i in range(int(needed)):
            picture(Path("images") / half / ("cat", "dog")[i % 2] / f"{i}.png")
    loaded = suite.load("own.toml")
    cells = plan(loaded, load("folder", Path("images"), size=loaded.size), "cpu").cells
    assert {cell.kind for cell in cells.values()} == {"victim", "fit", "attack", "score"}


def _commands(text: str) -> list[list[str]]:
    """Return the words of each line that starts with the program, without its comment."""
    lines = re.findall(r"(?m)^evil-twins ([^#\n]+)", text)
    return [line.split() for line in lines]


def test_the_tutorial_and_a_new_detector_work_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a small suite; `check` takes a minute and has its own tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evil_twins.bench.analysis.plots.draw", lambda *_, **__: [])
    page, readme = DOCS / "tutorial.md", ROOT / "README.md"
    section = readme.read_text().split("## Add a detector")[1].split("\n## ")[0]
    Path("mine.py").write_text(_blocks(readme, "python")[2])
    small = suites.write(tmp_path, shift(), doubt())
    commands = [words for code in _blocks(page, "") for words in _commands(code)]
    names = [name for name, *_ in commands]
    assert names == ["list", "run", "table", "report", "check", "compare"]
    added = _commands(section)
    assert [name for name, *_ in added] == ["run", "compare"]
    assert all(words in commands for words in added)
    for name, *rest in commands:
        arguments = [] if name == "list" else [small]
        if name in {"run", "compare"}:
            arguments += ["--jobs", "1"]
        assert name == "check" or app.main([name, *rest, *arguments]) == 0, name
    assert "torn (K0) and the other detectors" in capsys.readouterr().out
    paths = re.findall(r"`(results/local/quick/[\w./]+)`", page.read_text() + section)
    assert [Path(path).name for path in paths] == ["index.html", "torn"]
    assert all(Path(path.replace("quick", "small")).exists() for path in paths)
    assert Path("results/local/small/compare/torn/tables/compare.md").exists()


@pytest.mark.parametrize("path", CSV, ids=_id)
def test_every_column_is_defined(path: Path) -> None:
    sections = re.split(r"(?m)^## ", (DOCS / "tables.md").read_text())
    (of_table,) = [section for section in sections if section.startswith(f"`{path.name}`")]
    (shared,) = [section for section in sections if section.startswith("In several tables")]
    heads = re.findall(r"(?m)^\| ([^|]*) \|", of_table + shared)
    defined = {name for head in heads for name in head.split(", ")}
    missing = set(pd.read_csv(path, nrows=0).columns) - defined
    assert not missing


@pytest.mark.parametrize(
    ("page", "names"),
    [("attacks", ATTACKS), ("detectors", DETECTORS)],
    ids=["attacks", "detectors"],
)
def test_every_name_is_explained_and_in_the_api(page: str, names: dict[str, str]) -> None:
    text, api = ((DOCS / f"{part}{page}.md").read_text() for part in ("", "api/"))
    for name, place in names.items():
        assert f"`{name}`" in text, name
        assert f"::: {place.partition(':')[0]}\n" in api, place
    for module in re.findall(r"(?m)^::: (\S+)$", api):
        importlib.import_module(module)


def test_entry_point_groups_exist() -> None:
    groups = re.findall(r'entry-points\."([\w.]+)"', (ROOT / "CONTRIBUTING.md").read_text())
    assert set(groups) == set(GROUPS.values())


@pytest.mark.slow
def test_a_foreign_executor_runs_a_suite(tmp_path: Path) -> None:
    code: Any
    (code,) = [c for c in _blocks(DOCS / "many-machines.md", "python") if "session.run" in c]
    path = suites.write(tmp_path, shift(), doubt())
    code = code.replace("results/local", str(tmp_path)).replace('"quick"', repr(path))
    exec(compile(code, "docs/many-machines.md", "exec"), {})
    assert (tmp_path / "small" / "tables" / "detection.csv").exists()
