"""Judge the claims in little time."""

import pandas as pd

from evil_twins.bench.analysis.claims.evidence import Evidence, gather
from evil_twins.bench.analysis.claims.rules import Rules, rules
from evil_twins.bench.analysis.tables import Analysis, number


def quick() -> Rules:
    """Return the rules with fewer bootstrap samples: ten times their least p-value is below .05."""
    return rules().model_copy(update={"test": rules().test.model_copy(update={"resamples": 500})})


def evidence(records: dict[str, pd.DataFrame]) -> Evidence:
    """Return the evidence of the first sweep, with few bootstrap samples."""
    return next(iter(gather(Analysis(number(records)), quick())))
