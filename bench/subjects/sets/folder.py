"""Read a data folder of a user: `root/train/<class>/*` and `root/test/<class>/*`, as RGB."""

import os
from collections import Counter
from pathlib import Path

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.image_files import ImageFiles, hidden, listed
from evil_twins.bench.subjects.parts import Half, Parts, name_of

SIZE = None


def read(root: Path | None, download: bool) -> Parts:
    """List its classes and images; nothing is fetched.

    Raises:
        UserError: No root, a half or a class without images, or halves of different classes.
    """
    if root is None:
        raise UserError(
            "data set 'folder' has no default place",
            "remedy: give its directory with --data",
        )
    train, test = _classes(root, "train"), _classes(root, "test")
    if odd := sorted(train.keys() ^ test.keys()):
        raise UserError(
            f"{root}: class {odd[0]!r} is in only one of train and test",
            "expected: the same class folders in both",
        )
    return tuple(sorted(train)), _half(root, "train", train), _half(root, "test", test)


def _classes(root: Path, half: str) -> dict[str, Path]:
    """Return the class folders of a half: name in NFC -> folder."""
    folders = dict[str, Path]()
    _check_no_link(root / half)
    try:
        entries = sorted(os.scandir(root / half), key=lambda entry: entry.name)
    except OSError as error:
        raise _missing(root, half, str(error.strerror)) from error
    for entry in entries:
        if hidden(entry.name) or not entry.is_dir():
            continue
        _check_no_link(Path(entry.path))
        if folders.setdefault(name_of(entry.name), Path(entry.path)) != Path(entry.path):
            raise UserError(f"{entry.path}: another class has this name", "remedy: rename one")
    if not folders:
        raise _missing(root, half, "there is no folder of a class")
    return folders


def _check_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise UserError(
            f"{folder} is a link, which is not followed",
            "remedy: put the folder itself there, for example with cp -rlL",
        )


def _half(root: Path, half: str, folders: dict[str, Path]) -> Half:
    ids, labels, paths = list[str](), list[int](), list[Path]()
    skipped = Counter[str]()
    for entry in os.scandir(root / half):
        if hidden(entry.name):
            skipped["hidden"] += 1
        elif not entry.is_dir():
            skipped["outside of class folders"] += 1
    for label, name in enumerate(sorted(folders)):
        listing = listed(folders[name])
        if not listing.paths:
            raise _missing(root, half, f"no image of class {name!r}")
        ids += [f"{half}/{name}/{image}" for image in listing.names]
        labels += [label] * len(listing.paths)
        paths += listing.paths
        skipped += listing.skipped
    return Half(tuple(ids), labels, ImageFiles(tuple(paths), root), skipped)


def _missing(root: Path, half: str, why: str) -> UserError:
    return UserError(
        f"{root / half}: {why}",
        f"expected: {root}/train/<class>/* and {root}/test/<class>/*, "
        "with at least one image in every class",
    )
