"""What the documents tell people to type."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from bench import cli
from tests.bench import suites
from tests.bench.suites import doubt, shift

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_and_option_exists(page: Path) -> None:
    commands = get_command(cli.app).commands  # type: ignore[attr-defined]
    typed = re.findall(r"(?m)(?:`|^|&& |srun )evil-twins ([a-z]+)([^`\n&|#]*)", page.read_text())
    assert typed
    for name, rest in typed:
        assert name in commands, name
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), link


@pytest.mark.slow
def test_an_executor_of_ones_own(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "many-machines.md").read_text()
    code = re.findall(r"## Any other executor\s+```python\n(.*?)```", page, re.DOTALL)[0]
    path = suites.write(tmp_path, shift(), doubt())
    code = code.replace("results/local", str(tmp_path)).replace('"quick"', repr(path))
    exec(compile(code, "docs/many-machines.md", "exec"), {})
    assert (tmp_path / "small" / "tables" / "detection.csv").exists()
