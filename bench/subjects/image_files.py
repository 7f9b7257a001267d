"""List and decode image files: the one way for data sets, data folders and `score`.

The format follows from the content. Every image becomes 8 bits a channel, upright, on white.
Conversions are stated, so that callers can count them.
"""

import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files
from evil_twins.bench.subjects.parts import DAMAGE, Picture, Unreadable, name_of

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are read. Pillow knows others; for PostScript it starts an interpreter."""

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"}
    | {".tif", ".tiff", ".webp"}
)
"""Endings of names of image files; a file of such a name that is no image is damaged."""

LARGEST = 2**26
"""Pixels of the largest image that is read: a small file may hold a larger one."""

HIDDEN = "__MACOSX"
"""Folder of metadata in archives that macOS makes."""
BAD = (*DAMAGE, Image.DecompressionBombError)

DEEP, TURNED, ON_WHITE = "from 16 to 8 bits", "turned as EXIF says", "transparent, put on white"
FIRST = "with several frames, the first taken"
"""Conversions of images, in words; `_between` gives those between kinds of pixels."""

KINDS = {"1": "grey", "L": "grey", "LA": "grey", "RGB": "colour", "RGBA": "colour"}
KINDS |= {"P": "a palette", "PA": "a palette"}
"""Mode of pixels -> its kind in words; other modes, such as CMYK, are named as they are."""

GREY_STEPS = {"L;2": 85, "L;4": 17}
"""Pixels of a grey PNG of 2 or 4 bits -> the factor by which Pillow multiplies them."""


@dataclass(frozen=True)
class Listing:
    """The image files in a folder, at any depth.

    Attributes:
        names: Their names in the folder, in NFC; bytes that are not UTF-8 in hexadecimal.
        paths: Their paths, in the same order.
        skipped: Kind of file -> number of other files and folders.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    skipped: Counter[str]


@dataclass(frozen=True)
class ImageFiles:
    """Images in files, decoded on demand; no link out of the folder `within` is followed."""

    paths: tuple[Path, ...]
    within: Path
    mode: str = "RGB"

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Picture:
        return decode(self.paths[index], self.within, self.mode)


def hidden(name: str) -> bool:
    """Check whether a file or a folder is hidden: it starts with a dot, or is `HIDDEN`."""
    return name.startswith(".") or name == HIDDEN


def listed(folder: Path) -> Listing:
    """List the image files in a folder, by the names of their folders and their own.

    Raises:
        UserError: A folder cannot be listed, or two files have the same name in NFC.
    """
    skipped, images = Counter[str](), dict[tuple[str, str], Path]()
    for base, folders, names in os.walk(folder, onerror=_refuse):
        skipped["hidden"] += sum(hidden(name) for name in (*folders, *names))
        folders[:] = [name for name in folders if not hidden(name)]
        skipped["linked folders"] += sum(Path(base, name).is_symlink() for name in folders)
        place = name_of(Path(base).relative_to(folder).as_posix())
        for name in names:
            if hidden(name):
                continue
            path = Path(base, name)
            if path.suffix.lower() not in SUFFIXES and not _is_image(path):
                skipped["other files"] += 1
            elif images.setdefault((place, name_of(name)), path) != path:
                raise UserError(f"{path}: another file has this name", "remedy: rename one of them")
    order = sorted(images)
    ids = tuple(name if place == "." else f"{place}/{name}" for place, name in order)
    return Listing(ids, tuple(images[key] for key in order), +skipped)


def _is_image(path: Path) -> bool:
    """Check the content of a file without the name of an image file."""
    try:
        with files.opened(path, path.parent) as file, Image.open(file, formats=FORMATS):
            return True
    except BAD:
        return False


def _refuse(error: OSError) -> None:
    raise UserError(
        f"{error.filename}: {error.strerror}",
        "expected: a folder that can be listed",
    ) from error


def decode(path: Path, within: Path, mode: str) -> Picture:
    """Decode an image file.

    Args:
        path: The file.
        within: The folder that links must not leave.
        mode: "L" for grey, "RGB" for colour.

    Raises:
        Unreadable: It is damaged, of another format, no regular file, or outside of the folder.
    """
    try:
        with files.opened(path, within) as file, Image.open(file, formats=FORMATS) as image:
            return _converted(image, mode)
    except BAD as error:
        raise Unreadable(path, _reason(error, path)) from error


def decode_bytes(content: bytes, name: str, mode: str) -> Picture:
    """Decode the content of an image file that has a name and no path, as `decode` does."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return _converted(image, mode)
    except BAD as error:
        raise Unreadable(Path(name), _reason(error, Path(name))) from error


def resized(picture: Picture, size: int) -> Picture:
    """Return the centre square of a picture, resized to a side in pixels."""
    image = picture.pixels
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    if image.size == (size, size):
        return picture
    fitted = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return Picture(fitted, picture.conversions)


def _reason(error: BaseException, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(FORMATS)}"
    return why(error).replace(f"{path} ", "it ")


def _converted(image: ImageFile, mode: str) -> Picture:
    """Convert pixels to 8 bits, upright, on white, in this mode; state each conversion."""
    if image.width * image.height > LARGEST:
        raise ValueError(f"it has {image.width} by {image.height} pixels, more than {LARGEST}")
    facts = {FIRST: getattr(image, "is_animated", False), DEEP: _is_deep(image)}
    spare = 4 if "I;12" in str(image.tile) else 8  # bits; turning an image empties its `tile`
    _scale_transparent_grey(image)
    facts[TURNED] = _orientation(image) in range(2, 9)
    pixels: Image.Image = ImageOps.exif_transpose(image) if facts[TURNED] else image
    if pixels.mode.startswith("I"):  # of 16 bits in colour Pillow has taken the high bytes
        pixels = Image.fromarray((np.asarray(pixels) >> spare).astype(np.uint8))
    if pixels.has_transparency_data:
        layers = pixels.convert("RGBA")
        facts[ON_WHITE] = layers.getchannel("A").getextrema() != (255, 255)
        if facts[ON_WHITE]:
            pixels = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    conversions = [what for what, true in facts.items() if true]
    pixels.load()
    if pixels.mode != mode:
        conversions += _between(pixels.mode, mode)
        pixels = pixels.convert(mode)
    return Picture(pixels, tuple(conversions))


def _between(old: str, new: str) -> list[str]:
    """Return the conversion between two modes of pixels in words, none if they are of one kind."""
    before, after = KINDS.get(old, old), KINDS[new]
    return [] if before == after else [f"from {before} to {after}"]


def _orientation(image: ImageFile) -> int:
    """Return the orientation that EXIF states; 1, upright, without one or if it is damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except BAD:
        return 1


def _scale_transparent_grey(image: ImageFile) -> None:
    """Scale the transparent value of a grey PNG of 2 or 4 bits as Pillow scales its pixels."""
    factor = GREY_STEPS.get(str(image.tile[0].args), 0) if image.tile else 0
    if factor and image.format == "PNG" and "transparency" in image.info:
        value = image.info["transparency"] % (255 // factor + 1)  # the higher bits do not count
        image.info["transparency"] = value * factor


def _refuse_odd_numbers(image: ImageFile) -> None:
    """Refuse a TIFF whose numbers Pillow reads as if they meant something else.

    Raises:
        ValueError: They are signed, of 16 bits with white as 0, or colours of CIELAB.
    """
    if not isinstance(image, TiffImageFile):
        return
    tags = image.tag_v2
    if image.mode == "LAB":
        raise ValueError("its colours are those of CIELAB")
    if 2 in np.atleast_1d(tags.get(SAMPLEFORMAT, 1)):
        raise ValueError("its numbers are signed")
    if image.mode.startswith("I") and tags.get(PHOTOMETRIC_INTERPRETATION) == 0:
        raise ValueError("it has 16 bits with white as 0")


def _is_deep(image: ImageFile) -> bool:
    """Check whether the file has more than 8 bits a channel.

    Raises:
        ValueError: The meaning of its numbers is unknown, or one of its colours is transparent.
    """
    _refuse_odd_numbers(image)
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise ValueError(f"the range of its numbers is unknown (mode {image.mode})")
    tiles = str(image.tile)
    maximum = image.tile[0].args if image.format == "PPM" and image.tile else None
    wide = isinstance(maximum, tuple) and int(maximum[-1]) > 255
    deep = image.mode.startswith("I") or ";16" in tiles or wide
    if deep and "transparency" in image.info:
        raise ValueError("one of its colours of 16 bits is transparent")
    return deep
