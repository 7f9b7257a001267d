"""The code of the project is gathered once, until one of its files changes."""

from pathlib import Path

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


@pytest.mark.parametrize("helper", ["helper.py", "detectors/base.py"])
def test_code_of_the_project_is_kept_and_changes_no_digest(tmp_path: Path, helper: str) -> None:
    """A helper may have the path of a file of the project."""
    (tmp_path / helper).parent.mkdir(exist_ok=True)
    (tmp_path / helper).write_text("offset = 1")
    module = helper.removesuffix(".py").replace("/", ".")
    text = f"import {module}\nfrom evil_twins.detectors.base import logits\n"
    path, project = tmp_path / "mine.py", source_code.CELLS / "score.py"
    path.write_text(text)
    code = closure(path, project)
    assert code == source_code._gathered(path, project)[0]
    assert {"mine.py", helper, "detectors/base.py", "bench/cells/score.py"} <= set(code.files)
