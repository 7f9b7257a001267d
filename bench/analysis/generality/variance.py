"""Variance of rate and AUROC between populations, and between the victims of one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.generality.rates import QUANTITIES, Measured, samples
from evil_twins.bench.analysis.generality.table import SHARED, Table
from evil_twins.bench.analysis.tables.frames import frame

VARIANCE = Table(
    "generality-variance",
    {
        "moves": SHARED["moves"],
        "detector": "",
        "quantity": '"rate" or "auroc"',
        "populations victims": "number of populations with the quantity, and of victims of all",
        "sd_between": "standard deviation between populations, by the method of moments",
        "sd_within": "standard deviation between the victims of a population, in which the draw "
        "of its targets and images is a part; empty if no population has two victims",
        "share_between": "the share of the variance between populations in the sum of both",
        "p": "F test that populations do not differ, for normal values of equal variance",
    },
)


def variance(measured: Measured) -> pd.DataFrame:
    """Decompose the variance of every detector on every family over two populations or more."""
    return frame(list(_components(measured)), VARIANCE.names)


def _components(measured: Measured) -> Iterator[dict[str, Any]]:
    for quantity in QUANTITIES:
        for (moves, detector), values in samples(measured.victims, quantity).items():
            if len(values) < 2:
                continue
            parts = stats.components(list(values.values()))
            yield {
                "moves": moves,
                "detector": detector,
                "quantity": quantity,
                "populations": len(values),
                "victims": sum(map(len, values.values())),
                "sd_between": np.sqrt(parts.between),
                "sd_within": np.sqrt(parts.within),
                "share_between": parts.share,
                "p": parts.p,
            }
