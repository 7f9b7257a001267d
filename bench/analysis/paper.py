"""Figures that the paper publishes and its authors' code stores, to compare with measured ones.

Pang et al., A Tale of Evil Twins: Adversarial Inputs versus Poisoned Models, CCS 2020. "Stored"
numbers come from the plotting scripts of its authors' public code (ain-soph/trojanzoo, commits
9ff8d89 and a66c869): they may not be the last version behind the printed figures.
"""

import tomllib
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

KAPPA = 0.75
"""The required efficacy of the paper's detection figure."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Curve(_Table):
    """The raw points of one trade-off, as stored: PGD first, Poisoning last.

    Attributes:
        linf: Mean ‖x* − x°‖∞ over targets, times 1,000.
        drop: Mean drop of validation accuracy in percentage points, negative ones set to 0.
    """

    linf: tuple[float, ...]
    drop: tuple[float, ...]

    @cached_property
    def points(self) -> tuple[tuple[float, float], ...]:
        """(fidelity, specificity), each over the loss of its own pure attack."""
        whole = zip(self.linf, self.drop, strict=True)
        return tuple((linf / self.linf[0], drop / self.drop[-1]) for linf, drop in whole)

    @cached_property
    def odd(self) -> tuple[float, ...]:
        """Fidelities that are out of sequence: lower than those of settings stored after them."""
        x = [point[0] for point in self.points[:-1]]
        return tuple(y for i, y in enumerate(x) if any(y < later for later in x[i + 1 :]))

    @cached_property
    def first(self) -> float:
        """The least fidelity above 0, without entries out of sequence."""
        return min(x for x, _ in self.points if x > 0 and x not in self.odd)


class Published(_Table):
    """One data set of the paper.

    Attributes:
        name: Name in the paper.
        architecture: The victim's.
        accuracy: Its accuracy on clean data, percent (Table 1).
        specificity: Kappa -> accuracy drop by Poisoning, percent (Table 2).
        curves: Kappa -> the stored trade-off (Figure 4).
        stored: Detector -> the values behind Figure 5 at kappa .75, in the order of that curve: KS
            of the curvature, of the others a mean change of confidence.
        largest: Largest perturbation after re-training in pixels of [0, 1], of PGD and of IMC.
        rates: Detector -> (fidelity, printed detection rate) at kappa .75 (text on Figure 5).
        data: Data set in the records -> how far it is the same, as in `Comparison`.
    """

    name: str
    architecture: str
    accuracy: float
    specificity: Mapping[float, float]
    curves: Mapping[float, Curve]
    largest: tuple[float, float]
    stored: Mapping[str, tuple[float, ...]] = {}
    rates: Mapping[str, tuple[tuple[float, float], ...]] = {}
    data: Mapping[str, str]

    @property
    def table2(self) -> str:
        """How the printed accuracy drops compare with the stored ones, in words."""
        kappas = sorted(self.specificity)
        printed = [self.specificity[kappa] for kappa in kappas]
        stored = [self.curves[kappa].drop[-1] for kappa in kappas]
        if _equal(printed, stored):
            return "printed drops are the stored ones"
        if _equal(printed, stored[::-1]):
            return "printed drops are the stored ones after swapping the two κ"
        return "printed drops are not the stored ones"


def _equal(printed: list[float], stored: list[float]) -> bool:
    """Equal to two decimals or within a hundredth."""
    pairs = zip(printed, stored, strict=True)
    return all(abs(a - b) <= max(0.005 + 1e-9, 0.01 * a) for a, b in pairs)


@cache
def published() -> Mapping[str, Published]:
    """Return the data sets of the paper, from paper.toml."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return {name: Published.model_validate(table) for name, table in tomllib.loads(text).items()}


class Comparison(NamedTuple):
    """The numbers of the paper for a data set, and how far the data are the same.

    Attributes:
        paper: The data set of the paper.
        data: "same data", "other split" (its authors cut the images in their own way) or "other
            copy" (a folder with any images).
    """

    paper: Published
    data: str


def comparison(dataset: str) -> Comparison | None:
    """Return the numbers of the paper for a data set of the records, or None."""
    for paper in published().values():
        if dataset in paper.data:
            return Comparison(paper, paper.data[dataset])
    return None
