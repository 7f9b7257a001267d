"""Image files: every door reads every file alike, and says what it converted."""

import ast
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evil_twins.bench.components.source_code import ROOT, code_of
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import inputs, sets
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.parts import Tally
from evil_twins.bench.subjects.sets.isic2018 import CLASSES
from tests.bench.subjects.odd_images import ODD, REFUSED, SIDE, Pixels, put, tree

ONE_READER = "bench/subjects/image_files.py"
USUAL = ODD["opaque alpha"].content

Read = tuple[dict[str, Pixels | str], Tally]
"""Kind of a file -> the pixels (C, H, W) of it, or the reason why it is not read; the tally."""


def folder(root: Path, contents: Mapping[str, bytes]) -> dict[str, str]:
    """Write the contents into a data folder; return the kind of each id."""
    tree(root)
    for name, content in contents.items():
        put(root / f"train/cat/{name}.png", content)
    return {f"train/cat/{name}.png": name for name in contents}


def isic(root: Path, contents: Mapping[str, bytes]) -> dict[str, str]:
    for part in ("Training", "Test"):
        stem, files = f"ISIC2018_Task3_{part}", dict(zip("0123456", [USUAL] * 7, strict=True))
        files |= contents if part == "Training" else {}
        (root / f"{stem}_Input").mkdir()
        (root / f"{stem}_GroundTruth").mkdir()
        lines = [",".join(["image", *CLASSES])]
        for i, (name, content) in enumerate(files.items()):
            put(root / f"{stem}_Input" / f"{name}.jpg", content)
            lines.append(",".join([name, *(str(float(k == i % 7)) for k in range(7))]))
        (root / f"{stem}_GroundTruth" / f"{stem}_GroundTruth.csv").write_text("\n".join(lines))
    return {f"isic2018/{name}": name for name in contents}


def gtsrb(root: Path, contents: Mapping[str, bytes]) -> dict[str, str]:
    training, test = root / "gtsrb/GTSRB/Training", root / "gtsrb/GTSRB/Final_Test/Images"
    test.mkdir(parents=True)
    lines = ["Filename;ClassId", *(f"{label}.ppm;{label}" for label in range(43))]
    (root / "gtsrb/GT-final_test.csv").write_text("\n".join(lines))
    for label in range(43):
        (training / f"{label:05d}").mkdir(parents=True)
        for path in (training / f"{label:05d}" / "z.ppm", test / f"{label}.ppm"):
            path.write_bytes(USUAL)
    for name, content in contents.items():
        put(training / "00000" / f"{name}.ppm", content)
    order = sorted(contents, key="{}.ppm".format)
    return {f"gtsrb/train/{i:05d}": name for i, name in enumerate(order)}


WRITERS = {"folder": folder, "isic2018": isic, "gtsrb": gtsrb}


def data_set(door: str, root: Path, contents: Mapping[str, bytes]) -> Read:
    kinds = WRITERS[door](root, contents)
    dataset = load(door, root, size=SIDE)
    read: dict[str, Pixels | str] = dict(dataset.tally.unreadable)
    read |= zip(dataset.train.ids, dataset.train.pixels.numpy(), strict=True)
    return {kind: read[name] for name, kind in kinds.items()}, dataset.tally


def score(root: Path, contents: Mapping[str, bytes]) -> Read:
    read, tally = dict[str, Pixels | str](), Tally()
    for name, content in contents.items():
        place = root / name
        place.mkdir()
        put(place / "odd.png", content)
        try:
            _, x, converted = inputs.read(place, (3, SIDE, SIDE))
            read[name] = (x[0] * 255).round().byte().numpy()
            tally += converted
        except UserError as error:
            read[name] = str(error)
    return read, tally


Door = Callable[[Path, Mapping[str, bytes]], Read]
DOORS: dict[str, Door] = {name: partial(data_set, name) for name in WRITERS}
DOORS["score"] = score


def test_the_doors_are_all_readers_of_image_files() -> None:
    """A reader of files without a door here, or past the one reader, fails."""
    codes = {name: code_of("victim", {"name": name, "size": None}) for name in sets.names()}
    assert {name for name, code in codes.items() if ONE_READER in code.files} == set(WRITERS)
    past = set[str]()
    names = {
        "ImageFolder",
        "DatasetFolder",
        "default_loader",
        "imread",
        "read_image",
        "decode_image",
    }
    for path in (
        path for room in ("attacks", "bench", "detectors") for path in (ROOT / room).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called == "Image.open" or called.split(".")[-1] in names:
                past.add(path.relative_to(ROOT).as_posix())
    assert past == {ONE_READER, "bench/subjects/treatments.py"}  # the latter: a JPEG in memory


@pytest.mark.parametrize("door", DOORS)
def test_every_door_shows_the_same_pixels(tmp_path: Path, door: str) -> None:
    read, tally = DOORS[door](tmp_path, {kind: odd.content for kind, odd in ODD.items()})
    for kind, odd in ODD.items():
        pixels = read[kind]
        assert not isinstance(pixels, str), (kind, pixels)
        assert np.array_equal(pixels.transpose(1, 2, 0), odd.pixels), kind
    assert tally.converted == Counter(what for odd in ODD.values() for what in odd.conversions)


REASONS = {
    "PostScript": "its content is none of BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP",
    "text": "its content is none of",
    "nothing": "its content is none of",
    "numbers of unknown range": "the range of its numbers is unknown (mode F)",
    "white as 0": "it has 16 bits with white as 0",
    "signed bytes": "its numbers are signed",
    "CIELAB": "its colours are those of CIELAB",
    "half a file": "truncated",
    "link out of the folder": "leads out of",
    "pipe": "is not a regular file",
    "too large": "it has 9000 by 9000 pixels, more than 67108864",
}


@pytest.mark.parametrize("door", DOORS)
def test_no_door_takes_it_for_an_image(
    tmp_path: Path, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *command, **_: programs.append(command))
    read, _ = DOORS[door](tmp_path, REFUSED)
    assert not programs
    assert read.keys() == REASONS.keys()
    assert not [kind for kind, why in REASONS.items() if why not in str(read[kind])]
