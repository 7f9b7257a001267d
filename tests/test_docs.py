"""Commands, snippets, links, names and columns of the documents are valid."""

import ast
import configparser
import importlib
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.main import get_command

from evil_twins.attacks import ATTACKS
from evil_twins.bench.commands import app
from evil_twins.bench.components.names import GROUPS
from evil_twins.bench.subjects.architectures import ARCHITECTURES
from evil_twins.bench.suite import suite
from evil_twins.detectors import DETECTORS
from tests.bench import suites
from tests.bench.suites import doubt, shift
from tests.pages import DOCS, ROOT, blocks, typed

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


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_every_command_option_and_suite_exists(page: Path) -> None:
    for line in typed(page, "evil-twins"):
        name, *rest = line.split()
        assert name in COMMANDS, line
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, line
        if name in {"run", "plan", "claims", "verify"} and rest and rest[0][0] not in "-[":
            assert rest[0] in SUITES | {"SUITE", "<suite>"} or rest[0].endswith(".toml"), line


def test_pages_are_read() -> None:
    assert sum(len(typed(page, "evil-twins")) for page in PAGES) > 40


def test_every_command_is_documented() -> None:
    names = {line.split()[0] for page in PAGES for line in typed(page, "evil-twins")}
    text = "".join(page.read_text() for page in PAGES)
    absent = {name for name in set(COMMANDS) - names if f"`evil-twins {name}" not in text}
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
        lists = re.findall(r"pip install[^\n`]*\[([\w,]+)\]", page.read_text())
        assert {extra for names in lists for extra in names.split(",")} <= set(extras)


def test_options_of_dask_exist() -> None:
    worker = pytest.importorskip("distributed.cli.dask_worker").main
    options = {option for parameter in worker.params for option in parameter.opts}
    (line,) = [line for line in blocks(DOCS / "many-machines.md", "") if "dask worker" in line]
    (command,) = re.findall(r"dask worker.*", line)
    assert set(re.findall(r"--[a-z-]+", command)) <= options


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_within_the_project_have_a_target(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_to_a_section_find_its_heading(page: Path) -> None:
    for path, anchor in re.findall(r"\]\(((?!https://)[^)#]*)#([^)]+)\)", page.read_text()):
        assert anchor in _anchors(page.parent / path if path else page), f"{path}#{anchor}"


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the headings that a code host and the site of the documents share."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", page.read_text()))
    bare = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in bare} & {
        re.sub(r"[-\s]+", "-", heading) for heading in bare
    }


def test_every_python_snippet_has_a_test() -> None:
    """Except the two that need a cluster; a new snippet needs a test that runs it."""
    counts = {_id(page): len(blocks(page, "python")) for page in PAGES}
    clusters = [
        code
        for code in blocks(DOCS / "many-machines.md", "python")
        if re.search(r"^from dask_", code, re.MULTILINE)
    ]
    assert {page: count for page, count in counts.items() if count} == {
        "README.md": 4,
        "docs/data.md": 1,
        "docs/many-machines.md": 1 + len(clusters),
        "docs/own.md": 2,
        "docs/papers.md": 1,
        "docs/zoo.md": 1,
    }
    assert len(clusters) == 2


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_imports_of_python_snippets_work(page: Path) -> None:
    for code in blocks(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("evil_twins"):
                module = importlib.import_module(str(node.module))
                for name in node.names:
                    if not hasattr(module, name.name):
                        importlib.import_module(f"{node.module}.{name.name}")


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "own.md"], ids=_id)
def test_suites_in_pages_load(page: Path, tmp_path: Path) -> None:
    for code in blocks(page, "toml"):
        table = tomllib.loads(code)
        if "imc-head" in table.get("attacks", {}):  # labels of figures
            continue
        whole = "attacks" in table  # else the part of the victim
        head = code if whole else suites.HEAD.split("[victim]")[0] + code + "[targets]\ncount = 4\n"
        loaded = suite.load(
            suites.write(tmp_path, *(() if whole else (shift(), doubt())), head=head)
        )
        assert loaded.victim.architecture in ARCHITECTURES


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
    Path("mine.py").write_text(blocks(readme, "python")[3])
    small = suites.write(tmp_path, shift(), doubt())
    commands = [words for code in blocks(page, "") for words in _commands(code)]
    names = [name for name, *_ in commands]
    assert names == ["list", "run", "table", "report", "check", "compare"]
    added = _commands(section)
    assert [name for name, *_ in added] == ["run", "compare"]
    assert all(words in commands for words in added)
    for name, *rest in commands:
        arguments = {"list": [], "compare": ["--suite", small]}.get(name, [small])
        if name in {"run", "compare"}:
            arguments += ["--jobs", "1"]
        assert name == "check" or app.main([name, *rest, *arguments]) == 0, name
    assert "torn (K0) under each attack" in capsys.readouterr().out
    paths = re.findall(r"`(results/local/quick/[\w./]+)`", page.read_text() + section)
    assert [Path(path).name for path in paths] == ["index.html", "torn"]
    assert all(Path(path.replace("quick", "small")).exists() for path in paths)
    assert Path("results/local/small/compare/torn/tables/compare.md").exists()


def _defined(name: str) -> set[str]:
    """Return the columns that the page of tables defines for a CSV file."""
    sections = re.split(r"(?m)^## ", (DOCS / "tables.md").read_text())
    (of_table,) = [section for section in sections if section.startswith(f"`{name}`")]
    (shared,) = [section for section in sections if section.startswith("In several tables")]
    heads = re.findall(r"(?m)^\| ([^|]*) \|", of_table + shared)
    return {name for head in heads for name in head.split(", ")}


@pytest.mark.parametrize("path", CSV, ids=_id)
def test_every_stored_column_is_defined(path: Path) -> None:
    assert set(pd.read_csv(path, nrows=0).columns) <= _defined(path.name)


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
    (code,) = [c for c in blocks(DOCS / "many-machines.md", "python") if "session.run" in c]
    path = suites.write(tmp_path, shift(), doubt())
    code = code.replace("results/local", str(tmp_path)).replace('"quick"', repr(path))
    exec(compile(code, "docs/many-machines.md", "exec"), {})
    assert (tmp_path / "small" / "tables" / "detection.csv").exists()


def test_the_pages_of_the_api_name_the_files_and_names_of_today() -> None:
    script = runpy.run_path(str(DOCS / "api_pages.py"))
    for page in script["PAGES"]:
        assert script["written"](page.read_text()) == page.read_text(), "run docs/api_pages.py"
