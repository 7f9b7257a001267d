"""Outliers among the classes of a model, for detectors of models."""

from torch import Tensor

MIN_CLASSES = 4
"""Smallest number of classes of a model: most of them must show how values spread."""


def robust_z(values: Tensor) -> Tensor:
    """Return (value - median) / (1.4826 * median absolute deviation), (K,), of values (K,).

    The median of an even number of values is the mean of the middle two.

    Raises:
        ValueError: K is below 4, or more than half of the values are the same.
    """
    check_classes(len(values))
    shift = values - values.quantile(0.5)
    spread = 1.4826 * shift.abs().quantile(0.5)
    if not spread > 1e-12 * values.abs().amax():
        raise ValueError("more than half of the classes have the same value: none is an outlier")
    return shift / spread


def check_classes(classes: int) -> None:
    """Check that a model has enough classes for an outlier.

    Raises:
        ValueError: It has fewer than 4.
    """
    if classes < MIN_CLASSES:
        raise ValueError(f"outliers need {MIN_CLASSES} classes at least; the model has {classes}")
