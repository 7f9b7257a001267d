"""Results of a stranger whose files are of other forms: damage like any other, named, made again.

All seals and checksums are right, so that the forms themselves are met.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from evil_twins.bench.cells.stored import cached_victim
from evil_twins.bench.commands import app
from evil_twins.bench.store.checksums import checksum, content_hash, fingerprint
from tests.bench import small_run
from tests.bench.run.test_hostile_results import COMMANDS, limit, words

pytestmark = pytest.mark.usefixtures("no_figures", "no_workers")

JSON = [
    *(b"[]", b"3", b'"a"', b"null", b"{}", b"[" * 10**5, b"\xff", b'{"a": ', b"NaN", b"9" * 10**5),
    *(b'{"a":' * 10**5, b"\xef\xbb\xbf{}", b'"\\ud800"', b"", "{}".encode("utf-16")),
]
"""Contents that are no JSON, or JSON of another type."""

VALUES = (3, "x", [], {}, None, -1.5, 2**70, [[]] * 3, {"../x": "\0"}, "\x1b[31m")
"""Values in the place of others; each is of the wrong type somewhere."""

Form = Callable[[Path, int], None]
"""Changes a file; the number is that of the file among all of its pattern."""


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def _seal(path: Path, facts: dict[str, Any]) -> None:
    """Write JSON with a seal and with the checksums of the files of a cell."""
    if "seal" in facts:
        facts = {key: value for key, value in facts.items() if key != "seal"}
        facts["seal"] = fingerprint(facts)
    path.write_text(json.dumps(facts))


def _restate(folder: Path) -> None:
    """Bring the checksums of a cell up to date."""
    path = folder / "cell.json"
    facts = json.loads(path.read_text())
    for name in facts["files"]:
        status = (folder / name).stat()
        facts["files"][name] = [
            status.st_size,
            checksum(folder / name, folder),
            status.st_mtime_ns,
        ]
    facts["content"] = content_hash(facts["files"])
    facts["provenance"] = checksum(folder / "provenance.json", folder)
    _seal(path, facts)


def another_content(path: Path, number: int) -> None:
    """Write something else."""
    path.write_bytes(JSON[number % len(JSON)])


def missing_key(path: Path, number: int) -> None:
    """Remove a key."""
    facts = json.loads(path.read_text())
    del facts[sorted(facts)[number % len(facts)]]
    _seal(path, facts)


def another_value(path: Path, number: int) -> None:
    """Change the type of a value."""
    facts = json.loads(path.read_text())
    key = sorted(facts)[number % len(facts)]
    facts[key] = VALUES[number % len(VALUES)]
    _seal(path, facts)


def deep_value(path: Path, number: int) -> None:
    """Put a value of great depth into the place of another."""
    facts = json.loads(path.read_text())
    facts[sorted(facts)[number % len(facts)]] = _nested(150 + number % 2 * 500)
    _seal(path, facts)


def other_types(path: Path, number: int) -> None:
    """Write every column as text, or as numbers."""
    table = pq.read_table(path)
    values = pa.array(["x"] * len(table)) if number % 2 else pa.array(range(len(table)))
    pq.write_table(pa.table(dict.fromkeys(table.column_names, values)), path)


def no_columns(path: Path, number: int) -> None:
    """Write a single strange column, or something that is no Parquet."""
    if number % 2:
        path.write_bytes(b"PAR1" * 5)
    else:
        pq.write_table(pa.table({"a": [[{"b": 1}]]}), path)


def other_tensors(path: Path, number: int) -> None:
    """Write other tensors, other metadata, or something that is no file of tensors."""
    tensors = load_file(path)
    if number % 3 == 0:
        metadata = {"classifier": '{"architecture": [], "shape": ' + "[" * 10**5}
        save_file(tensors, path, metadata)
    elif number % 3 == 1:
        save_file({"y": torch.zeros(2**8)}, path)
    else:
        path.write_bytes(b"\xff" * 100)


OF_JSON: tuple[Form, ...] = (another_content, missing_key, another_value, deep_value)
FORMS: dict[str, tuple[Form, ...]] = {
    "cells/*/*/cell.json": OF_JSON,
    "cells/*/*/provenance.json": OF_JSON,
    "cells/*/*.failed.json": (another_content,),
    "run.json": OF_JSON,
    "derived.json": OF_JSON,
    "*.parquet": (other_types, no_columns),
    "cells/*/*/*.parquet": (other_types, no_columns),
    "cells/*/*/*.safetensors": (other_tensors,),
}
"""Every file of results that is read, and its changes."""

CASES = [(pattern, form) for pattern, forms in FORMS.items() for form in forms]


def _spoil(small: Path, pattern: str, form: Form, first: int = 0) -> None:
    paths = sorted(small.glob(pattern))
    assert paths, pattern
    for number, path in enumerate(paths, first):
        form(path, number)
    for path in paths:
        if path.parent.parent.parent.name == "cells" and path.name != "cell.json":
            _restate(path.parent)


def _check(folder: Path, commands: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands:
        cached_victim.cache_clear()
        with limit():
            assert app.main(words(command, folder)) in (0, 1, 2), command
        streams = capsys.readouterr()
        assert "Traceback" not in streams.out + streams.err, command
        assert "\x1b[31m" not in streams.out + streams.err, command


def _recovers(folder: Path, whole: Path) -> None:
    """Check that `run`, and `verify` where more is damaged, end in the records of the whole."""
    cached_victim.cache_clear()
    check = ["verify", str(folder / "small.toml"), "--results", str(folder / "results")]
    for _ in range(4):
        app.main(words("run", folder))
        if app.main([*check, "--sample", "6"]) == 0:
            break
    assert app.main(words("run", folder)) == 0
    assert small_run.same(whole, folder / "results")


@pytest.fixture
def stranger(whole: Path, tmp_path: Path) -> Path:
    """A folder with results, with the note of a failure and the suite."""
    shutil.copytree(whole / "small", tmp_path / "results" / "small")
    small_run.line(tmp_path, tmp_path)
    (tmp_path / "results" / "small" / "cells" / "score" / "x.failed.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "kind", ["json", pytest.param(("parquet", "safetensors"), marks=pytest.mark.slow)]
)
def test_all_files_of_a_kind(
    stranger: Path,
    whole: Path,
    kind: str | tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number, (pattern, forms) in enumerate(reversed(FORMS.items())):
        if pattern.endswith(kind):
            _spoil(stranger / "results" / "small", pattern, forms[number % len(forms)], number)
    _check(stranger, ("table", "plan"), capsys)
    assert app.main(words("merge", stranger)) == 2
    assert "is damaged" in capsys.readouterr().err
    assert not list(stranger.glob("both/*/cells/*/*"))
    _recovers(stranger, whole)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("pattern", "form"), CASES)
def test_each_command_meets_each_form(
    stranger: Path,
    whole: Path,
    capsys: pytest.CaptureFixture[str],
    pattern: str,
    form: Form,
    command: str,
) -> None:
    small = stranger / "results" / "small"
    for first in (0, 7):
        shutil.rmtree(small)
        shutil.copytree(whole / "small", small)
        (small / "cells" / "score" / "x.failed.json").write_text("{}")
        _spoil(small, pattern, form, first)
        _check(stranger, (command,), capsys)
        if command == "run":
            _recovers(stranger, whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x * float("nan"),
        pytest.param(lambda x: x * 50, marks=pytest.mark.slow),
        pytest.param(lambda x: x[1:], marks=pytest.mark.slow),
        pytest.param(lambda x: x[..., 1:], marks=pytest.mark.slow),
    ],
    ids=["nan", "out of range", "too few", "too small"],
)
def test_pixels_of_another_kind_are_damage(
    stranger: Path, whole: Path, change: Callable[[Tensor], Tensor]
) -> None:
    def changed(path: Path, number: int) -> None:
        tensors = load_file(path)
        save_file({**tensors, "x": change(tensors["x"]).contiguous()}, path)

    _spoil(stranger / "results" / "small", "cells/attack/*/attacked.safetensors", changed)
    _recovers(stranger, whole)


def test_every_file_that_is_read_has_forms(stranger: Path) -> None:
    small = stranger / "results" / "small"
    read = {path for pattern in FORMS for path in small.glob(pattern)}
    kinds = {".json", ".parquet", ".safetensors"}
    stored = {path for path in small.rglob("*") if path.suffix in kinds}
    assert stored - {small / "croissant.json"} == read  # which is written and never read
