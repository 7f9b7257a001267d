"""Image files of random content: decoded, or refused with a reason, and nothing else."""

import io
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evil_twins.bench.subjects.image_files import FORMATS, LARGEST, decode
from evil_twins.bench.subjects.parts import Unreadable
from tests.bench.subjects.odd_images import ODD, REFUSED, RGB, saved

CONTENTS = [odd.content for odd in ODD.values()] + list(REFUSED.values())
CONTENTS += [saved(Image.fromarray(RGB), kind) for kind in FORMATS]
NUMBERS = [b"\0", b"\1", b"\x7f", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw the content of an image file with a few changes."""
    content = draw(st.sampled_from(CONTENTS))[:5000]
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(content)))
        removed = draw(st.sampled_from([0, 1, 4, len(content)]))
        added = draw(st.sampled_from([b"", *NUMBERS]) | st.binary(max_size=8))
        content = content[:place] + added + content[place + removed :]
    return content


@contextmanager
def file_of(content: bytes) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.png"
        path.write_bytes(content)
        yield path


def check(content: bytes) -> None:
    start = time.monotonic()
    with file_of(content) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow about metadata that it does not understand
        for mode in ("RGB", "L"):
            try:
                picture = decode(path, path.parent, mode)
            except Unreadable as error:
                reason = error.reason.splitlines()
                assert len(reason) == 1
                continue
            pixels = np.asarray(picture.pixels)
            assert pixels.dtype == np.uint8
            assert pixels.ndim == {"RGB": 3, "L": 2}[mode]
            assert pixels.shape[0] * pixels.shape[1] <= LARGEST
    assert time.monotonic() - start < 10


@settings(deadline=None)
@given(mutated())
def test_a_changed_file_is_decoded_or_refused(content: bytes) -> None:
    check(content)


@pytest.mark.slow
@settings(deadline=None, max_examples=10_000)
@given(mutated() | st.binary(max_size=200))
def test_ten_thousand_changed_files_are_decoded_or_refused(content: bytes) -> None:
    check(content)


@settings(deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.sampled_from(["L", "RGB"]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
)
def test_pixels_of_ordinary_files_are_those_of_pillow(
    kind: str, mode: str, width: int, height: int, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    content = saved(Image.fromarray(noise).convert(mode), kind)
    with file_of(content) as path, Image.open(io.BytesIO(content)) as image:
        for new in ("L", "RGB"):
            picture = decode(path, path.parent, new)
            assert np.array_equal(np.asarray(picture.pixels), np.asarray(image.convert(new)))


@given(st.integers(0, 2**32 - 1))
def test_alpha_is_over_white(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (4, 5, 4), dtype=np.uint8)
    share = noise[..., 3:] / 255
    expected = noise[..., :3] * share + 255 * (1 - share)
    with file_of(saved(Image.fromarray(noise), "PNG")) as path:
        pixels = np.asarray(decode(path, path.parent, "RGB").pixels)
    assert np.abs(pixels - expected).max() <= 1
