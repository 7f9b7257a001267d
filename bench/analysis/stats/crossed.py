"""The crossed bootstrap of specificity: targets and held-out images are both resampled."""

import numpy as np
from numpy.typing import NDArray

from evil_twins.bench.analysis.stats.resampling import RESAMPLES, SEED, draws

Floats = NDArray[np.float64]


BLOCK = 1000
"""Bootstrap samples that are taken at the same time; memory is bounded by it."""


def image_draws(columns: int, heldout: int, resamples: int = RESAMPLES) -> Floats:
    """How often each of `columns` held-out images is drawn when all `heldout` are resampled.

    Only images that flip under some model matter; the others are drawn as one remainder.

    Args:
        columns: Images that flipped somewhere, at most `heldout`.
        heldout: Size of R.
        resamples: Bootstrap samples.

    Returns:
        (resamples, columns) counts.

    Raises:
        ValueError: More columns than held-out images.
    """
    if columns > heldout:
        raise ValueError(f"{columns} images flipped, but R holds {heldout}")
    chances = np.append(np.full(columns, 1 / heldout), max(0.0, 1 - columns / heldout))
    generator = np.random.default_rng([SEED, 2, columns, heldout])
    counts = np.empty((resamples, columns))
    for start in range(0, resamples, BLOCK):
        part = counts[start : start + BLOCK]
        part[:] = generator.multinomial(heldout, chances, size=len(part))[:, :columns]
    return counts


def crossed(flips: Floats, heldout: int, images: Floats) -> Floats:
    """Bootstrap samples of the pooled share of flipped predictions.

    Args:
        flips: (N, columns) 0 or 1: the faced model of a target disagrees with the victim.
        heldout: Size of R.
        images: `image_draws`, the same for all rows that are to be compared.

    Returns:
        (resamples,) shares in [0, 1].
    """
    targets = draws(len(flips), resamples=len(images))
    some = np.flatnonzero(flips.any(axis=0))
    flips, counts = flips[:, some], np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        at = slice(start, start + BLOCK)
        counts[at] = ((targets[at] @ flips) * images[at][:, some]).sum(axis=1)
    shares: Floats = counts / (len(flips) * heldout)
    return shares
