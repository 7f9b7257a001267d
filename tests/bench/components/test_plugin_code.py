"""The code of a plug-in in the identity of a cell."""

from pathlib import Path

import pytest

from evil_twins.bench.components import source_code
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.source_code import ROOT, closure, code_of

DIGITS = {"name": "digits", "size": None}
HELPER = """
from dataclasses import dataclass

SCALE = 1.0

@dataclass(frozen=True)
class Near:
    knowledge = "K1"
    preparation = None

    def fit(self, view):
        return lambda x: x.sum((1, 2, 3)) * SCALE
"""
CHANGES = "import helper\nNear = helper.Near\nhelper.SCALE = 2.0\n"
DYNAMIC = """
from dataclasses import make_dataclass

def fit(self, view):
    return lambda x: x.sum((1, 2, 3)) * 2.0

members = {"knowledge": "K1", "preparation": None, "fit": fit}
Near = make_dataclass("Near", [], namespace=members, frozen=True)
"""


def _digest(folder: Path, text: str) -> str:
    folder.mkdir()
    (folder / "helper.py").write_text(HELPER)
    (folder / "mine.py").write_text(text)
    code = code_of("score", DIGITS, Component(f"{folder}/mine.py:Near", {}))
    assert not any("dataclasses" in file or file == "types.py" for file in code.files)
    return code.digest


@pytest.mark.parametrize("text", [CHANGES, DYNAMIC])
def test_the_file_in_a_suite_counts_also_when_its_class_is_defined_elsewhere(
    tmp_path: Path, text: str
) -> None:
    assert _digest(tmp_path / "a", text) == _digest(tmp_path / "b", text)
    assert _digest(tmp_path / "c", text.replace("2.0", "3.0")) != _digest(tmp_path / "d", text)


def test_words_about_skipped_images_are_no_code_of_a_cell() -> None:
    files = [file for file in code_of("victim", DIGITS).files if "subjects" in file]
    assert files
    assert not [file for file in files if ": skipped, unreadable" in (ROOT / file).read_text()]


def test_the_package_counts_and_not_the_file_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / "helper").mkdir()
    files = {"mine.py": "import helper", "helper.py": "", "helper/__init__.py": ""}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert set(closure(tmp_path / "mine.py").files) == {"mine.py", "helper/__init__.py"}


def test_imports_by_keyword_count(tmp_path: Path) -> None:
    text = "from importlib import import_module\nother = import_module(name='other')\n"
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "other.py").write_text("")
    assert set(closure(tmp_path / "mine.py").files) == {"mine.py", "other.py"}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_installed_plug_in_counts_with_the_version_of_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    site = tmp_path / "site-packages"
    facts = site / f"nearest-{version}.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: nearest\nVersion: {version}\n")
    (site / "nearest").mkdir()
    for name in ("__init__.py", "detectors.py"):
        (site / "nearest" / name).write_text("")
    monkeypatch.syspath_prepend(site)
    source_code._versions.cache_clear()
    code = closure(site / "nearest" / "detectors.py")
    assert code.versions == {"nearest": version}
