"""The shares of the test half of a data set for its splits."""

from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Splits:
    """Shares of the test half, cut in this order; their sum is one.

    `evil_twins.bench.subjects.data.Dataset` describes the purpose of each split.
    """

    # A change of these defaults moves every target list.
    fit: float = 0.08
    calibration: float = 0.18
    fpr: float = 0.18
    heldout: float = 0.40
    development: float = 0.05
    confirmatory: float = 0.11

    def __post_init__(self) -> None:
        for name, share in asdict(self).items():
            if not 0 < share < 1:
                raise ValueError(f"{name} is {share:g}; expected: a share between 0 and 1")
        total = sum(asdict(self).values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the six shares must sum to 1, and sum to {total:.6g}")


USUAL = Splits()
"""The default shares of suites."""

NAMES = tuple(field.name for field in fields(Splits))
"""Names of the splits of the test half, in the order of the cut."""
