"""The order of detectors on a page: the baseline first, variants after their family."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from evil_twins.bench.analysis.plots import style

BASELINE = "confidence"
"""The detector that any other should surpass: it only looks at the confidence of an input."""


class Column(NamedTuple):
    """A detector as a column.

    Attributes:
        name: Name of the detector.
        family: The first word of its name, which its variants share.
        variants: Number of other columns of its family, if it is the first of them; else 0.
        folded: Whether the page folds it under the first of its family.
    """

    name: str
    family: str
    variants: int
    folded: bool


def columns(names: Iterable[str]) -> list[Column]:
    """Return the columns of detectors: the baseline, then each family, at last the OR of all."""
    families = dict[str, list[str]]()
    for name in style.detector_order(names):
        families.setdefault(_family(name), []).append(name)
    baseline = families.pop(BASELINE, [])
    ordered = ({BASELINE: baseline} if baseline else {}) | families
    return [
        Column(name, family, 0 if place else len(members) - 1, place > 0)
        for family, members in ordered.items()
        for place, name in enumerate(members)
    ]


def _family(name: str) -> str:
    """Return the first word of a name such as "curvature-adjusted"."""
    words = re.match(r"(\w+)-\w", name)
    return words[1] if words else name
