"""Statistics of a claim, before they are measured in each victim."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.part import Estimate, Role, Unmeasured

Outcomes = Sequence[Estimate | Unmeasured]
"""A statistic of each victim, or the reason why a victim has none."""


@dataclass(frozen=True)
class Statistic:
    """One line of a claim before it is measured.

    Attributes:
        name: The statistic in words.
        margin: The value that it is compared with.
        measure: Computes it for each victim of a population.
        role: Its use in the verdict, as in `Part`.
        reading: Name of the reading of the claim that it belongs to; empty if there is only one.
    """

    name: str
    margin: float
    measure: Callable[[Sequence[Evidence]], Outcomes]
    role: Role = "test"
    reading: str = ""


def by_victim(
    measure: Callable[[Evidence], Estimate],
) -> Callable[[Sequence[Evidence]], Outcomes]:
    """Turn a statistic of one victim into that of each victim of a population."""

    def outcome(of: Evidence) -> Estimate | Unmeasured:
        try:
            return measure(of)
        except Unmeasured as missing:
            return missing

    return lambda victims: [outcome(of) for of in victims]
