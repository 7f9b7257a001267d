"""Image files that are easily read wrongly, with the pixels that they show."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
SIDE = 12
RGB = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
GREY = RGB[..., 0].copy()
ALPHA = np.where(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 3, 255, 0).astype(np.uint8)
ON_WHITE = np.where(ALPHA[..., None] == 0, 255, RGB).astype(np.uint8)
"""`RGB` with `ALPHA` over white."""

ORIENTATION = 274
ORIENTATIONS: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}
"""Orientation of EXIF -> what makes the stored pixels upright."""


@dataclass(frozen=True)
class Odd:
    """The content of a file, the pixels (H, W, C) that it shows, and the conversions."""

    content: bytes
    pixels: Pixels
    conversions: tuple[str, ...]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_of_16_bits(values: npt.NDArray[np.uint16]) -> bytes:
    """Write (H, W, C) as PNG, which Pillow cannot do in colour."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return _png((width, height, 16, kind), (b"IDAT", zlib.compress(lines)))


def png_of_few_bits(values: Pixels, bits: int, transparent: int) -> bytes:
    """Write grey values (H, W) of 2 or 4 bits as PNG, with a transparent value."""
    rows = np.unpackbits(values[..., None], axis=2)[..., -bits:].reshape(len(values), -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    key = (b"tRNS", struct.pack(">H", transparent))
    return _png((values.shape[1], len(values), bits, 0), key, (b"IDAT", zlib.compress(lines)))


def _png(header: tuple[int, int, int, int], *chunks: tuple[bytes, bytes]) -> bytes:
    """Write a PNG of this width, height, number of bits and kind of colour."""
    first = (b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (first, *chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff_of_12_bits(values: npt.NDArray[np.uint16], orientation: int) -> bytes:
    """Write grey values (H, W) of 12 bits, W even, as TIFF."""
    height, width = values.shape
    bits = np.unpackbits(values.astype(">u2")[..., None].view(np.uint8), axis=2)[..., 4:]
    strip = np.packbits(bits.reshape(height, -1), axis=1).tobytes()
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 274: orientation}
    tags |= {277: 1, 278: height, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


IMAGE, THREE = Image.fromarray(RGB), np.repeat(GREY[..., None], 3, 2)
RGBA = Image.fromarray(np.dstack([RGB, ALPHA]))
WIDE = GREY.astype(np.uint16) * 257
PALETTE = IMAGE.quantize(64)
INDEX = np.asarray(PALETTE)
SHOWN = np.asarray(PALETTE.convert("RGB"))
KEYED = np.where((INDEX[0, 0] == INDEX)[..., None], 255, SHOWN).astype(np.uint8)
CMYK = np.dstack([255 - RGB, np.zeros_like(GREY)])

DEEP, TURNED, WHITE = "from 16 to 8 bits", "turned as EXIF says", "transparent, put on white"
TO_COLOUR, PALETTE_TO_COLOUR = "from grey to colour", "from a palette to colour"
FRAMES = "with several frames, the first taken"

ODD = {
    "grey PNG of 16 bits": Odd(saved(Image.fromarray(WIDE), "PNG"), THREE, (DEEP, TO_COLOUR)),
    "PGM of 16 bits": Odd(saved(Image.fromarray(WIDE), "PPM"), THREE, (DEEP, TO_COLOUR)),
    "TIFF of 16 bits": Odd(saved(Image.fromarray(WIDE), "TIFF"), THREE, (DEEP, TO_COLOUR)),
    **{
        f"TIFF of 12 bits and orientation {number}": Odd(
            tiff_of_12_bits(GREY.astype(np.uint16) << 4 | 9, number), turned(THREE), conversions
        )
        for number, turned, conversions in (
            (1, np.asarray, (DEEP, TO_COLOUR)),
            (6, ORIENTATIONS[6], (DEEP, TURNED, TO_COLOUR)),
        )
    },
    "shifted 16 bits": Odd(
        saved(Image.fromarray(GREY.astype(np.uint16) << 8), "PNG"), THREE, (DEEP, TO_COLOUR)
    ),
    "colour PNG of 16 bits": Odd(png_of_16_bits(RGB.astype(np.uint16) * 257), RGB, (DEEP,)),
    "PNG of 16 bits with alpha": Odd(
        png_of_16_bits(np.dstack([RGB, ALPHA]).astype(np.uint16) * 257), ON_WHITE, (DEEP, WHITE)
    ),
    "PPM of 16 bits": Odd(
        b"P6 12 12 65535\n" + (RGB.astype(">u2") * 257).astype(">u2").tobytes(), RGB, (DEEP,)
    ),
    "alpha in PNG": Odd(saved(RGBA, "PNG"), ON_WHITE, (WHITE,)),
    "alpha in WEBP": Odd(saved(RGBA, "WEBP", lossless=True, exact=True), ON_WHITE, (WHITE,)),
    "alpha in TIFF": Odd(saved(RGBA, "TIFF"), ON_WHITE, (WHITE,)),
    "opaque alpha": Odd(saved(IMAGE.convert("RGBA"), "PNG"), RGB, ()),
    "palette": Odd(saved(PALETTE, "PNG"), SHOWN, (PALETTE_TO_COLOUR,)),
    "palette with a transparent colour": Odd(
        saved(PALETTE, "PNG", transparency=int(INDEX[0, 0])), KEYED, (WHITE,)
    ),
    "GIF": Odd(saved(PALETTE, "GIF"), SHOWN, (PALETTE_TO_COLOUR,)),
    "animated GIF": Odd(
        saved(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(90)]),
        SHOWN,
        (FRAMES, PALETTE_TO_COLOUR),
    ),
    "CMYK": Odd(
        saved(Image.frombytes("CMYK", IMAGE.size, CMYK.tobytes()), "TIFF"),
        RGB,
        ("from CMYK to colour",),
    ),
    "grey": Odd(saved(Image.fromarray(GREY), "PNG"), THREE, (TO_COLOUR,)),
}
"""Kind of a file -> the file."""
ODD |= {
    f"orientation {number}": Odd(saved(IMAGE, "PNG", exif=_exif(number)), upright(RGB), (TURNED,))
    for number, upright in ORIENTATIONS.items()
}
ODD |= {
    f"turned {kind}": Odd(
        saved(IMAGE, kind, exif=_exif(6), lossless=True), ORIENTATIONS[6](RGB), (TURNED,)
    )
    for kind in ("TIFF", "WEBP")
}
for bits in (2, 4):
    values = GREY >> (8 - bits)
    shown = np.where(values == 1, 255, values * (255 // (2**bits - 1))).astype(np.uint8)
    for key in (1, 2**bits + 1):  # the higher bits do not count
        ODD[f"grey PNG of {bits} bits without {key}"] = Odd(
            png_of_few_bits(values, bits, key), np.repeat(shown[..., None], 3, 2), (WHITE,)
        )

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\nshowpage\n"
REFUSED = {
    "PostScript": POSTSCRIPT,
    "numbers of unknown range": saved(Image.new("F", (SIDE, SIDE)), "TIFF"),
    "white as 0": saved(Image.fromarray(WIDE), "TIFF", tiffinfo={262: 0}),
    "signed bytes": saved(Image.fromarray(GREY), "TIFF", tiffinfo={339: 2}),
    "CIELAB": saved(Image.frombytes("LAB", IMAGE.size, RGB.tobytes()), "TIFF"),
    "text": b"no image",
    "nothing": b"",
    "half a file": saved(Image.fromarray(RGB), "PNG")[:200],
    "too large": saved(Image.new("1", (9000, 9000)), "PNG"),
}
"""Contents that no door reads as an image."""


AS_LINK, AS_PIPE = b"link to ", b"pipe"
"""Contents for which `put` makes no regular file."""
REFUSED |= {"link out of the folder": AS_LINK + os.fsencode(__file__), "pipe": AS_PIPE}


def put(path: Path, content: bytes) -> None:
    if content.startswith(AS_LINK):
        path.symlink_to(os.fsdecode(content.removeprefix(AS_LINK)))
    elif content == AS_PIPE:
        os.mkfifo(path)
    else:
        path.write_bytes(content)


def tree(root: Path) -> Path:
    """Write a data folder of ordinary images with two classes."""
    for half, count in (("train", 3), ("test", 20)):
        for name in ("cat", "dog"):
            (root / half / name).mkdir(parents=True)
            for i in range(count):
                (root / half / name / f"{i}.png").write_bytes(saved(Image.fromarray(RGB), "PNG"))
    return root
