"""Read the records of a suite with pandas, without this project, and compute one rate.

Run it in a checkout: python docs/examples/read_records.py. The columns: docs/records.md
"""

from math import ceil, sqrt
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parents[2] / "results" / "reference" / "quick"
ALPHA = 0.05
T_QUANTILE = 2.365
"""97.5 % quantile of Student's t with 7 degrees of freedom, for eight victims."""


def detected(scores: pd.DataFrame) -> float:
    """Return the share of a victim's targets that score above the threshold of its row."""
    benign = scores.loc[scores["role"] == "calibration", "score"].sort_values()
    threshold = benign.iloc[ceil((len(benign) + 1) * (1 - ALPHA)) - 1]
    return float((scores.loc[scores["role"] == "attacked", "score"] > threshold).mean())


scores = pd.read_parquet(FOLDER / "scores.parquet")
row = scores.query("attack == 'imc-head' and kappa == 1 and phi == 0.5 and detector == 'manifold'")
rates = pd.Series({seed: detected(part) for seed, part in row.groupby("seed")})
half = T_QUANTILE * rates.std() / sqrt(len(rates))
print(f"the manifold detector flags {rates.mean():.4f} of IMC's targets at φ .5, κ benign;")
print(f"95 % for the mean of all victims: {rates.mean() - half:.2f} to {rates.mean() + half:.2f}")
