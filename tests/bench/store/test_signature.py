"""Derived files are believed only if a program of this user made them."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from evil_twins.bench.analysis.kept import NOTE, current, kept
from evil_twins.bench.store import signature
from evil_twins.bench.store.checksums import checksum, fingerprint

TABLES = {"tables/detection.csv": b"detector,flagged\nconfidence,3\n", "tables/a.md": b"# A\n"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the secret, which is not made yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    signature._secret.cache_clear()
    yield tmp_path / "home" / "evil-twins"
    signature._secret.cache_clear()


def another_user(home: Path) -> None:
    """Continue as a user with another secret."""
    (home / "secret").unlink()
    signature._secret.cache_clear()


def test_tables_of_a_stranger_are_made_again(home: Path, tmp_path: Path) -> None:
    directory = tmp_path / "small"
    kept(directory, "tables", lambda: TABLES)
    path, note = directory / "tables" / "detection.csv", directory / NOTE
    true, entry = path.read_bytes(), json.loads(note.read_text())["tables"]
    another_user(home)
    assert not current(directory, "tables")
    for forged in (entry["signature"], None, 3, "", "κ", fingerprint(entry["files"])):
        path.write_bytes(true.replace(b"3", b"4"))
        entry["files"]["tables/detection.csv"] = checksum(path, directory)
        note.write_text(json.dumps({"tables": entry | {"signature": forged}}))
        assert not current(directory, "tables")
        kept(directory, "tables", lambda: TABLES)
        assert path.read_bytes() == true
        assert current(directory, "tables")


def test_a_signature_of_one_kind_of_files_is_none_of_another(home: Path, tmp_path: Path) -> None:
    directory = tmp_path / "small"
    kept(directory, "tables", lambda: TABLES)
    entry = json.loads((directory / NOTE).read_text())["tables"]
    (directory / NOTE).write_text(json.dumps({"figures svg": entry}))
    assert not current(directory, "figures svg")


def test_the_secret_is_stored_once_and_for_its_user_only(home: Path) -> None:
    first = signature.signature([1])
    assert signature.signature([2]) != first
    assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600
    signature._secret.cache_clear()
    assert signature.signature([1]) == first
    another_user(home)
    assert signature.signature([1]) != first


@pytest.mark.parametrize("damage", ["empty", "short", "folder", "home is a file"])
def test_a_secret_that_cannot_be_read_is_replaced_by_one_of_the_process(
    home: Path, damage: str
) -> None:
    if damage == "home is a file":
        home.parent.write_text("")
    elif damage == "folder":
        (home / "secret").mkdir(parents=True)
    else:
        home.mkdir(parents=True)
        (home / "secret").write_bytes(b"" if damage == "empty" else b"12345678")
    first = signature.signature([1])
    assert signature.signature([1]) == first
    signature._secret.cache_clear()
    assert signature.signature([1]) != first
