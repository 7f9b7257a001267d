"""The code of the project is gathered once, until one of its files changes."""

import pytest

from evil_twins.bench.components import source_code
from evil_twins.bench.components.source_code import ROOT, closure


def test_the_code_of_the_project_is_gathered_again_when_a_file_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = ROOT / "attacks" / "pgd.py"
    code = closure(path)
    gathered = source_code._of_project.cache_info().misses
    assert closure(path) is code
    assert source_code._of_project.cache_info().misses == gathered
    times = source_code._time
    monkeypatch.setattr(source_code, "_time", lambda file: times(file) + (file == path))
    assert closure(path) is not code
