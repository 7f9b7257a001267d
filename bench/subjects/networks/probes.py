"""Choose the images that pass a network before it is used."""

import torch
from torch import Tensor

from evil_twins.bench.subjects.data import Images

PROBES = 8
"""Images that pass a network before it is used."""


def probes(images: Images) -> Tensor:
    """Return a few images as float32 in [0, 1].

    They are evenly spaced: images of a folder are sorted by class.
    """
    return images.take(torch.arange(PROBES) * len(images) // PROBES).x


def noise(shape: tuple[int, int, int]) -> Images:
    """Make images of noise, always the same, which show the parts of a network."""
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (PROBES, *shape), generator=draws, dtype=torch.uint8)
    ids = tuple(str(i) for i in range(PROBES))
    return Images(ids, pixels, torch.zeros(PROBES, dtype=torch.int64))
