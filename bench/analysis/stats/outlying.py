"""Honest p-values of models: is a model an outlier among models that are free of poison?"""

from collections.abc import Sequence

import numpy as np

from evil_twins.bench.analysis.stats.calibration import conformal_p
from evil_twins.bench.analysis.stats.rates import Floats, holm


def outlying(
    scores: Sequence[Floats], honest: Sequence[Floats]
) -> tuple[list[Floats], list[Floats]]:
    """Return the conformal p-value of each model, and it after Holm's correction over all models.

    The honest models are exchangeable with a model that is free of poison: fine-tunes of the same
    victim for models made of it, or independently trained networks for a victim. No distribution is
    assumed. Models with one set of honest models depend on each other, which Holm's correction
    permits.

    Args:
        scores: Scores (n,) of the models of each group, such as a victim.
        honest: Scores (m,) of the honest models of each group, in the same order. For m = 0 the
            models are not tested (NaN), and do not count in the correction.

    Returns:
        The p-values (n,) of each group, and the corrected ones.
    """
    p = [_tested(*pair) for pair in zip(scores, honest, strict=True)]
    ends = np.cumsum([len(values) for values in p])[:-1]
    adjusted = holm(np.concatenate([np.empty(0), *p]))
    return p, np.split(adjusted, ends) if p else []


def _tested(scores: Floats, honest: Floats) -> Floats:
    return conformal_p(scores, honest) if len(honest) else np.full(len(scores), np.nan)
