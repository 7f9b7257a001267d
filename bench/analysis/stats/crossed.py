"""The crossed bootstrap of specificity: targets and held-out images are both resampled."""

import numpy as np
from numpy.typing import NDArray

from evil_twins.bench.analysis.stats.resampling import RESAMPLES, SEED, draws

Floats = NDArray[np.float64]

BLOCK = 1000
"""Bootstrap samples in one matrix product: this bounds the memory."""


def image_draws(columns: int, heldout: int, resamples: int = RESAMPLES) -> Floats:
    """Count how often each of `columns` held-out images is drawn when all `heldout` are resampled.

    Only images that flip under a model matter. The others are drawn as one remainder.

    Args:
        columns: Number of images that flip under a model, at most `heldout`.
        heldout: Size of R.
        resamples: Number of bootstrap samples.

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
        block = counts[start : start + BLOCK]
        block[:] = generator.multinomial(heldout, chances, size=len(block))[:, :columns]
    return counts


def crossed(flips: Floats, heldout: int, images: Floats) -> Floats:
    """Draw bootstrap samples of the pooled share of flipped predictions.

    Args:
        flips: (N, columns) 1 where the faced model of a target disagrees with the victim, else 0.
        heldout: Size of R.
        images: `image_draws`, the same for all rows that are compared.

    Returns:
        (resamples,) shares in [0, 1].
    """
    targets = draws(len(flips), resamples=len(images))
    flipped = np.flatnonzero(flips.any(axis=0))
    flips, counts = flips[:, flipped], np.empty(len(images))
    for start in range(0, len(images), BLOCK):
        block = slice(start, start + BLOCK)
        counts[block] = ((targets[block] @ flips) * images[block][:, flipped]).sum(axis=1)
    shares: Floats = counts / (len(flips) * heldout)
    return shares
