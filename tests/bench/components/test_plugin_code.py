"""The code of a plug-in in the identity of a cell."""

from pathlib import Path

import pytest

from evil_twins.bench.components.component import Component
from evil_twins.bench.components.source_code import ROOT, code_of

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


@pytest.mark.parametrize(
    "text", ["import helper\nNear = helper.Near\nhelper.SCALE = 2.0\n", DYNAMIC]
)
def test_the_file_in_a_suite_counts_also_when_its_class_is_defined_elsewhere(
    tmp_path: Path, text: str
) -> None:
    assert _digest(tmp_path / "a", text) == _digest(tmp_path / "b", text)
    assert _digest(tmp_path / "c", text.replace("2.0", "3.0")) != _digest(tmp_path / "d", text)


def test_words_about_skipped_images_are_no_code_of_a_cell() -> None:
    files = [file for file in code_of("victim", DIGITS).files if "subjects" in file]
    assert files
    assert not [file for file in files if "skipped, unreadable" in (ROOT / file).read_text()]
