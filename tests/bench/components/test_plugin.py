"""Files of users may import the files and packages in their folders."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from evil_twins.bench.components import plugin
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.source_code import closure

HEAD = "\n\ndef score(model, x):\n"
DETECTOR = f"from {{helper}} import OFFSET{HEAD}    return x.mean((1, 2, 3)) + OFFSET\n"
HELPERS = {
    "helper.py": ("helper", "helper.py"),
    "a package": ("helper.inner", "helper/inner.py"),
    "a folder": ("folder.inner", "folder/inner.py"),
    "the package of the file": (".helper", "helper.py"),
}


@pytest.fixture(autouse=True)
def _process() -> Iterator[None]:
    """Restore the imports of this process."""
    places, modules = list(sys.path), dict(sys.modules)
    yield
    sys.path[:] = places
    sys.modules.clear()
    sys.modules.update(modules)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, code in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code)


@pytest.mark.parametrize("kind", HELPERS)
def test_a_file_imports_what_lies_beside_it(tmp_path: Path, kind: str) -> None:
    helper, file = HELPERS[kind]
    folder = tmp_path / "mine"
    _write(folder, {file: "OFFSET = 3", "det.py": DETECTOR.format(helper=helper)})
    if kind in ("a package", "the package of the file"):
        (folder / file).with_name("__init__.py").touch()
    assert plugin.load(folder / "det.py").OFFSET == 3  # type: ignore[attr-defined]
    assert any(name.endswith(file) for name in closure(folder / "det.py").files)


def test_a_file_imports_what_lies_beside_it_when_it_scores(tmp_path: Path) -> None:
    head, line, end = DETECTOR.format(helper="helper").partition(HEAD)
    _write(tmp_path, {"helper.py": "OFFSET = 3", "det.py": f"{line.strip()}\n    {head}\n{end}"})
    detector = Component(f"{tmp_path}/det.py:score", {}).build()
    scorer = detector.fit(SimpleNamespace(model=None))
    assert scorer(torch.zeros(2, 1, 8, 8)).tolist() == [3, 3]


def test_helpers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for number in (1, 2):
        _write(
            tmp_path / str(number),
            {
                "helper.py": f"OFFSET = {number}",
                f"det{number}.py": DETECTOR.format(helper="helper"),
            },
        )
    places = [tmp_path / str(number) / f"det{number}.py" for number in (1, 2)]
    modules = [plugin.load(path) for path in (*places, *places)]
    assert [module.OFFSET for module in modules] == [1, 2, 1, 2]  # type: ignore[attr-defined]
    assert modules[2] is modules[0]
    assert modules[3] is modules[1]


@pytest.mark.parametrize("first", ["OFFSET = 1", "OFFSET = "])
def test_a_helper_that_changes_is_read_again(tmp_path: Path, first: str) -> None:
    late = "def late():\n    import helper\n    return helper.OFFSET\n"
    _write(tmp_path, {"helper.py": first, "det.py": DETECTOR.format(helper="helper") + late})
    if first == "OFFSET = 1":
        before = plugin.load(tmp_path / "det.py")
        assert before is plugin.load(tmp_path / "det.py")
    else:
        with pytest.raises(SyntaxError):
            plugin.load(tmp_path / "det.py")
    _write(tmp_path, {"helper.py": "OFFSET = 22"})
    module = plugin.load(tmp_path / "det.py")
    assert (module.OFFSET, module.late()) == (22, 22)  # type: ignore[attr-defined]


def test_a_file_beside_a_plug_in_replaces_no_library_elsewhere(tmp_path: Path) -> None:
    files = {"colorsys.py": "OFFSET = 1", "det.py": DETECTOR.format(helper="colorsys")}
    _write(tmp_path, {**files, "wave.py": "OFFSET = 1", "torch.py": "raise ValueError"})
    sys.modules.pop("colorsys", None)
    assert plugin.load(tmp_path / "det.py").OFFSET == 1  # type: ignore[attr-defined]
    sys.modules.pop("wave", None)
    import wave

    assert not hasattr(wave, "OFFSET")
    assert Component(f"{tmp_path}/det.py:score", {}).build().knowledge == "K0"


def test_a_folder_of_data_hides_no_library(tmp_path: Path) -> None:
    _write(tmp_path, {"safetensors/a.txt": "", "det.py": "import safetensors\nOFFSET = 1"})
    library = sys.modules.pop("safetensors", None)
    assert plugin.load(tmp_path / "det.py").OFFSET == 1  # type: ignore[attr-defined]
    assert sys.modules["safetensors"].__file__
    if library:
        sys.modules["safetensors"] = library


def test_a_script_of_the_user_may_have_a_helper_of_that_name(tmp_path: Path) -> None:
    _write(
        tmp_path / "mine", {"helper.py": "OFFSET = 2", "det.py": DETECTOR.format(helper="helper")}
    )
    script = (
        "from pathlib import Path\nimport helper\n"
        "from evil_twins.bench.components.plugin import load\n"
        "module = load(Path('mine/det.py').absolute())\n"
        "import helper as again\nprint(helper.OFFSET, again.OFFSET, module.OFFSET)\n"
    )
    _write(tmp_path, {"helper.py": "OFFSET = 1", "script.py": script})
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.stdout.strip() == "1 1 2", done.stderr
