"""Files are opened, created and removed inside their folder, whatever lies there."""

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evil_twins.bench.store import files

SECRET = b"a secret of the user"
NAMES = ("a", "b", "c")
KINDS = ("file", "folder", "fifo", "out", "folder out", "dangling", "device", "inside", "loop")

Entry = tuple[str, str]
"""Path below the root, and kind."""


def build(root: Path, outside: Path, entries: list[Entry]) -> None:
    """Make a folder as a stranger may have made it."""
    targets = {
        "out": outside / "secret",
        "folder out": outside,
        "dangling": outside / "new",
        "device": Path("/dev/zero"),
        "inside": root,
    }
    for name, kind in entries:
        path = root / name
        if os.path.lexists(path) or not path.parent.is_dir() or path.parent.is_symlink():
            continue
        if kind == "file":
            path.write_bytes(b"content")
        elif kind == "folder":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.symlink_to(targets.get(kind, path))


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return time of change and content of everything in a folder."""
    return {
        path.name: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
    }


OPERATIONS: dict[str, Callable[[Path, Path], object]] = {
    "read": files.read,
    "status": files.status,
    "present": files.present,
    "write": lambda path, root: files.write(path, root, b"new"),
    "make folder": files.make_folder,
    "check folder": files.check_folder,
    "remove": files.remove,
    "move": lambda path, root: files.move(path, root / "moved", root),
    "move to": lambda path, root: files.move(root / "a", path, root),
    "copy": lambda path, root: files.copy(path, root, root / "copy", root),
    "copy to": lambda path, root: files.copy(root / "a", root, path, root),
    "lock": lambda path, root: files.lock_file(path, root).__enter__(),
}
"""Every function of the module that takes a path, with the folder that it must not leave."""

names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map("/".join)
trees = st.lists(st.tuples(names, st.sampled_from(KINDS)), min_size=1, max_size=6)
ENDS = ("", "/secret", "/new", "/a", "/..", "/../outside/secret", "/../../outside/secret")


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Entry], str, str]:
    """Return a tree, an operation and a path that begins with an entry of the tree."""
    entries = draw(trees)
    path = draw(st.sampled_from([name for name, _ in entries])) + draw(st.sampled_from(ENDS))
    return entries, draw(st.sampled_from(sorted(OPERATIONS))), path


def _stays_inside(case: tuple[list[Entry], str, str]) -> None:
    entries, operation, path = case
    with TemporaryDirectory() as scratch:
        root, outside = Path(scratch, "root"), Path(scratch, "outside")
        root.mkdir()
        outside.mkdir()
        (outside / "secret").write_bytes(SECRET)
        build(root, outside, entries)
        before, result = snapshot(outside), None
        with suppress(OSError):
            result = OPERATIONS[operation](root / path, root)
        assert result != SECRET
        assert snapshot(outside) == before
        assert {child.name for child in Path(scratch).iterdir()} == {"root", "outside"}
        assert not list(root.rglob("*.draft"))
        copies = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink()]
        assert SECRET not in [p.read_bytes() for p in copies if p.resolve().is_relative_to(root)]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_operation_leaves_the_folder(operation: str, kind: str) -> None:
    for end in ENDS:
        _stays_inside(([("a", kind)], operation, f"a{end}"))


@given(cases())
@settings(max_examples=50, deadline=10_000)
def test_no_operation_leaves_a_folder_with_several_links(
    case: tuple[list[Entry], str, str],
) -> None:
    _stays_inside(case)


@pytest.mark.slow
@given(cases())
@settings(max_examples=10_000, deadline=10_000)
def test_no_operation_leaves_ten_thousand_folders(case: tuple[list[Entry], str, str]) -> None:
    _stays_inside(case)


def test_every_function_with_a_folder_is_tested() -> None:
    functions = {
        name
        for name, function in vars(files).items()
        if getattr(function, "__module__", "") == files.__name__
        and "within" in getattr(function, "__annotations__", {})
        and not name.startswith("_")
    }
    tested = {"read", "status", "present", "write", "make_folder", "remove", "move", "copy"}
    assert functions == tested | {"lock_file", "opened", "creating", "real", "check_folder"}


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "fifo", tmp_path / "socket", Path("/dev/zero"), tmp_path):
            with pytest.raises(files.Unsafe, match="not a regular file"):
                files.read(path, None)
    for path in (Path("/dev/null"), tmp_path / "fifo"):
        with pytest.raises(files.Unsafe, match="not a regular file"):
            files.write(path, None, b"")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_sizes_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read(path, tmp_path, limit=5) == b"12345"
    with pytest.raises(files.Unsafe, match="too large"):
        files.read(path, tmp_path, limit=4)
    with path.open("wb") as file:
        file.truncate(files.LARGEST + 1)
    with pytest.raises(files.Unsafe, match="bytes"):
        files.read(path, tmp_path)


def test_links_of_the_user_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "real")
    files.write(tmp_path / "results" / "a", tmp_path / "results", b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    assert files.read(tmp_path / "link", None) == b"1"


def test_a_typed_path_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    for name, target in (("link", tmp_path / "secret"), ("dangling", tmp_path / "new")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(files.Unsafe, match="not a regular file"):
            files.write(tmp_path / name, None, b"2")
    assert (tmp_path / "secret").read_bytes() == SECRET
    assert not (tmp_path / "new").exists()
    files.write(tmp_path / "secret", None, b"2")
    assert (tmp_path / "secret").read_bytes() == b"2"


def test_an_odd_lock_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    for name in ("pipe", "link", "none"):
        with files.lock_file(tmp_path / name, tmp_path):
            assert stat.S_ISREG((tmp_path / name).lstat().st_mode)
    assert not (tmp_path / "new").exists()


def test_a_file_is_created_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, tmp_path, b"old")

    def half() -> None:
        with files.creating(path, tmp_path) as draft:
            draft.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("file", b"old")]


def test_a_file_in_the_place_of_a_folder_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(files.Unsafe) as error:
            files.make_folder(path, tmp_path)
        assert f"{path} cannot be made" in error.value.lines[0]
        assert error.value.lines[1] == "remedy: name another folder"
