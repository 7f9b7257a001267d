"""Lines and columns of frames as plain values."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def lines(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Every line by column name."""
    return [{str(key): value for key, value in one.items()} for one in frame.to_dict("records")]


def line(frame: pd.DataFrame, index: int) -> dict[str, Any]:
    """One line by column name."""
    return {str(key): value for key, value in frame.loc[index].to_dict().items()}


def column(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """A column as float64."""
    return frame[name].to_numpy(dtype=np.float64)
