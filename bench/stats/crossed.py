"""The crossed bootstrap of specificity: targets and held-out images are both resampled."""

import numpy as np
from numpy.typing import NDArray

from bench.stats.resampling import RESAMPLES, SEED, draws

Floats = NDArray[np.float64]


def image_draws(columns: int, heldout: int) -> Floats:
    """How often each of `columns` held-out images is drawn when all `heldout` are resampled.

    Only images that flip under some model matter; the others are drawn as one remainder.

    Args:
        columns: Images that flipped somewhere, at most `heldout`.
        heldout: Size of R.

    Returns:
        (RESAMPLES, columns) counts.

    Raises:
        ValueError: More columns than held-out images.
    """
    if columns > heldout:
        raise ValueError(f"{columns} images flipped, but R holds {heldout}")
    chances = np.append(np.full(columns, 1 / heldout), max(0.0, 1 - columns / heldout))
    generator = np.random.default_rng([SEED, 2, columns, heldout])
    drawn = generator.multinomial(heldout, chances, size=RESAMPLES)
    return drawn[:, :columns].astype(np.float64)


def crossed(flips: Floats, heldout: int, images: Floats) -> Floats:
    """Bootstrap samples of the pooled share of flipped predictions.

    Args:
        flips: (N, columns) 0 or 1: the faced model of a target disagrees with the victim.
        heldout: Size of R.
        images: `image_draws`, the same for all rows that are to be compared.

    Returns:
        (RESAMPLES,) shares in [0, 1].
    """
    counts: Floats = ((draws(len(flips)) @ flips) * images).sum(axis=1)
    return counts / (len(flips) * heldout)
