"""Agreement of two rankings, and its bootstrap over the victims behind them."""

import numpy as np

from evil_twins.bench.analysis.stats.rates import Floats

DIGITS = 12
"""Decimals of the values: those of rounding errors would decide ties."""


def kendall(first: Floats, second: Floats) -> Floats:
    """Return Kendall's τ-b of the values of K items on two sides, ties taken into account.

    It equals that of `scipy.stats.kendalltau`, which ranks one pair a call: a bootstrap of many
    pairs would take a minute.

    Args:
        first: (..., K) values, K >= 2.
        second: (..., K) values of the same items.

    Returns:
        (...) values in [-1, 1]; NaN where all items of a side are tied.
    """
    signs = _signs(first), _signs(second)
    sizes = [(side**2).sum(axis=-1) for side in signs]
    with np.errstate(invalid="ignore"):
        values: Floats = (signs[0] * signs[1]).sum(axis=-1) / np.sqrt(sizes[0] * sizes[1])
    return values


def _signs(values: Floats) -> Floats:
    """Return the sign of each difference of two of the items: (..., K (K - 1) / 2)."""
    rounded = np.round(values, DIGITS)
    first, second = np.triu_indices(values.shape[-1], 1)
    signs: Floats = np.sign(rounded[..., first] - rounded[..., second])
    return signs
