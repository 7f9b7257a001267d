"""Stored files of a stranger run no code."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from evil_twins.bench.cells.stored import cached_victim
from evil_twins.bench.commands import app
from tests.bench import suites
from tests.bench.small_run import PARTS

ROOT = Path(__file__).parents[3]


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.usefixtures("no_figures", "no_workers")
def test_no_stored_file_can_run_code(whole: Path, tmp_path: Path) -> None:
    mark = tmp_path / "struck"
    bomb = pickle.dumps(Bomb(mark))
    pickle.loads(bomb)
    mark.rmdir()  # the bomb works where files are unpickled
    shutil.copytree(whole / "small", tmp_path / "small")
    line = [suites.write(tmp_path, *PARTS), "--results", str(tmp_path)]
    files = [path for path in (tmp_path / "small").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".safetensors", ".parquet", ".json", ".csv"}
    for path in files:
        path.unlink()
        path.write_bytes(bomb)
    cached_victim.cache_clear()
    commands = [["verify"], ["table"], ["plot"], ["plan"], ["prune"], ["run", "--jobs", "1"]]
    status = [app.main([name, *line, *more]) for name, *more in commands]
    assert status[0] == 1
    assert status[-1] == 0
    assert not mark.exists()


def test_nothing_stored_is_unpickled() -> None:
    """Only the processes of one run send each other pickled calls and answers."""
    words = ("pickle", "torch.load", "joblib", "marshal", "shelve", "dill", "np.load")
    files = [
        path for name in ("attacks", "bench", "detectors") for path in ROOT.glob(f"{name}/**/*.py")
    ]
    assert len(files) > 50
    uses = {
        (path.stem, word) for path in files for word in words if word in path.read_text("utf-8")
    }
    of_a_run = {(name, "pickle") for name in ("fork_server", "guard", "worker")}
    # Files of users, in which both refuse code.
    refused = {("states", "pickle"), ("states", "torch.load"), ("npz", "pickle")}
    assert uses == of_a_run | refused
