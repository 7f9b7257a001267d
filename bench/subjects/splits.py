"""The shares of the test half of a data set for its splits."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]


class Splits(BaseModel):
    """Shares of the test half, cut in this order; their sum is one.

    `evil_twins.bench.subjects.data.Dataset` describes the purpose of each split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # A change of these defaults moves every target list.
    fit: Share = 0.08
    calibration: Share = 0.18
    fpr: Share = 0.18
    heldout: Share = 0.40
    development: Share = 0.05
    confirmatory: Share = 0.11

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.model_dump().values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the six shares must sum to 1, and sum to {total:.6g}")
        return self


USUAL = Splits()
"""The default shares of suites."""
