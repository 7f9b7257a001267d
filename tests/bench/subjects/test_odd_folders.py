"""Folders of images with hidden files, links, and names that systems write differently."""

import os
import unicodedata
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import splits
from evil_twins.bench.subjects.data import Dataset, load
from evil_twins.bench.subjects.image_files import listed
from tests.bench import suites
from tests.bench.subjects.odd_images import ODD, tree

PNG = ODD["opaque alpha"].content


def ids(dataset: Dataset) -> set[str]:
    parts = ("train", *splits.NAMES)
    return {name for split in parts for name in dataset.split(split).ids}


def checkpoints(root: Path) -> None:
    for folder in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints", "cat/__MACOSX"):
        (root / "train" / folder).mkdir()
        (root / "train" / folder / "a.png").write_bytes(PNG)


def metadata(root: Path) -> None:
    for name in ("._0.png", ".DS_Store", ".hidden.png"):
        (root / "test/dog" / name).write_bytes(PNG)
    (root / "test/._x.png").write_bytes(PNG)


def loop(root: Path) -> None:
    (root / "train/cat/again").symlink_to(root / "train")
    (root / "test/dog/up").symlink_to("..")


def other_files(root: Path) -> None:
    (root / "train/cat/notes.txt").write_text("no image")
    os.mkfifo(root / "train/cat/pipe")
    (root / "train/cat/dangling").symlink_to("nowhere")


def outside_of_classes(root: Path) -> None:
    (root / "train/loose.png").write_bytes(PNG)


SKIPPED: dict[str, tuple[Callable[[Path], None], dict[str, int]]] = {
    "hidden folders": (checkpoints, {"hidden": 4}),
    "hidden files": (metadata, {"hidden": 4}),
    "loops": (loop, {"linked folders": 2}),
    "other files": (other_files, {"other files": 3}),
    "outside of classes": (outside_of_classes, {"outside of class folders": 1}),
}


@pytest.mark.parametrize("kind", SKIPPED)
def test_it_is_counted_and_changes_nothing(tmp_path: Path, kind: str) -> None:
    before = load("folder", tree(tmp_path))
    spoil, skipped = SKIPPED[kind]
    spoil(tmp_path)
    after = load("folder", tmp_path)
    assert after.digest == before.digest
    assert after.classes == ("cat", "dog")
    assert after.tally.skipped == skipped
    assert not after.damaged


def test_every_format_is_an_image_by_any_name(tmp_path: Path) -> None:
    for name in ("x.gif", "x.GIF", "without", "x.jpg", "x.dat"):
        (tree(tmp_path / name) / "test/cat" / name).write_bytes(ODD["GIF"].content)
        assert f"test/cat/{name}" in ids(load("folder", tmp_path / name))


def test_a_link_within_the_folder_is_an_image_and_one_out_of_it_is_none(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG)
    root = tree(tmp_path / "data")
    (root / "train/cat/near.png").symlink_to(root / "train/dog/0.png")
    (root / "train/cat/out.png").symlink_to(secret)
    os.mkfifo(root / "train/cat/pipe.png")
    dataset = load("folder", root)
    assert "train/cat/near.png" in dataset.train.ids
    assert dataset.damaged == ("train/cat/out.png", "train/cat/pipe.png")
    assert "leads out" in dataset.tally.unreadable["train/cat/out.png"]


def test_a_linked_class_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    root = tree(tmp_path / "data")
    for half in ("train", "test"):
        (root / half / "eel").symlink_to(root / half / "cat")
    mistake = "is a link, which is not followed"
    with pytest.raises(UserError, match=f"eel {mistake}"):
        load("folder", root)
    (root / "train").rename(tmp_path / "elsewhere")
    (root / "train").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=f"train {mistake}"):
        load("folder", root)


def test_a_name_in_nfc_and_nfd_is_one_name(tmp_path: Path) -> None:
    digests = []
    for first, second in (("NFC", "NFC"), ("NFC", "NFD"), ("NFD", "NFC")):
        root = tree(tmp_path / first / second / "data")
        for half, form in (("train", first), ("test", second)):
            name = unicodedata.normalize(form, "é")
            (root / half / "cat").rename(root / half / name)
            (root / half / name / "0.png").rename(root / half / name / f"{name}.png")
        dataset = load("folder", root)
        assert dataset.classes == ("dog", "é")
        digests.append(dataset.digest)
    assert len(set(digests)) == 1
    (root / "train/dog" / unicodedata.normalize("NFD", "ü.png")).write_bytes(PNG)
    (root / "train/dog" / unicodedata.normalize("NFC", "ü.png")).write_bytes(PNG)
    with pytest.raises(UserError, match="another file has this name"):
        load("folder", root)


def bytes_named(folder: Path, name: bytes) -> None:
    try:
        descriptor = os.open(os.path.join(os.fsencode(folder), name), os.O_CREAT | os.O_WRONLY)
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    os.write(descriptor, PNG)
    os.close(descriptor)


def test_a_name_that_is_not_utf_8_is_shown_in_hexadecimal(tmp_path: Path) -> None:
    for half in ("train", "test"):
        bytes_named(tree(tmp_path / half) / half / "cat", b"\xff.png")
        bytes_named(tmp_path / half / half / "cat", b"z\xe9.png")
        dataset = load("folder", tmp_path / half)
        assert {f"{half}/cat/\\xff.png", f"{half}/cat/z\\xe9.png"} <= ids(dataset)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.binary(min_size=1, max_size=40), max_size=8))
def test_any_names_are_listed_in_utf_8_once_each(
    tmp_path_factory: pytest.TempPathFactory, names: set[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    usable = {name.translate(None, b"\0/") + b".png" for name in names}
    for name in usable:
        bytes_named(folder, name)
    shown = [name for name in usable if not name.startswith(b".")]
    texts = {name.decode("utf-8", "backslashreplace") for name in shown}
    alike = len({unicodedata.normalize("NFC", text) for text in texts}) < len(shown)
    with pytest.raises(UserError, match="another file") if alike else nullcontext():
        listing = listed(folder)
        "".join(listing.names).encode()
        assert len(set(listing.names)) == len(shown)
        assert listing.skipped["hidden"] == len(usable) - len(shown)


def test_commands_print_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree(tmp_path / "data")
    checkpoints(root)
    for i, kind in enumerate(["grey PNG of 16 bits", "alpha in PNG", "orientation 6", "GIF"]):
        (root / f"train/cat/odd{i}.png").write_bytes(ODD[kind].content)
    (root / "test/dog/bad.png").write_bytes(b"no image")
    head = suites.HEAD.replace("digits", "folder").replace("count = 4", "count = 1")
    path = suites.write(tmp_path, suites.shift(), suites.doubt(), head=head)
    for command in (["plan", path], ["run", path, "--limit", "0"]):
        app.main([*command, "--data", str(root), "--results", str(tmp_path)])
        message = capsys.readouterr().err
        assert (
            "folder:data: converted: 1 from 16 to 8 bits, 1 from a palette to colour, 1 from grey "
            "to colour, 1 transparent, put on white, 1 turned as EXIF says\n"
        ) in message
        assert "folder:data: skipped: 4 hidden\n" in message
        assert "folder:data: skipped, unreadable: test/dog/bad.png (its content is none of" in (
            message
        )
