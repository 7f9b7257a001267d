"""Figures that the paper publishes and its authors' code stores, to print beside what is measured.

Pang et al., A Tale of Evil Twins: Adversarial Inputs versus Poisoned Models, CCS 2020. "Stored"
numbers come from the plotting scripts of its authors' public code (ain-soph/trojanzoo, commits
9ff8d89 and a66c869): they may not be the last version behind the printed figures.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

KAPPA = 0.75
"""The required efficacy of the paper's detection figure."""


@dataclass(frozen=True)
class Curve:
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
        """The least fidelity above 0, entries out of sequence left out."""
        return min(x for x, _ in self.points if x > 0 and x not in self.odd)


@dataclass(frozen=True)
class Published:
    """One data set of the paper.

    Attributes:
        name: What the paper calls it.
        architecture: The victim's.
        accuracy: Its accuracy on clean data, percent (Table 1).
        specificity: Kappa -> accuracy drop by Poisoning, percent (Table 2).
        curves: Kappa -> the stored trade-off (Figure 4).
        stored: Detector -> the values behind Figure 5 at kappa .75, in the order of that curve: KS
            of the curvature, of the others a mean change of confidence.
        largest: Largest perturbation after re-training in pixels of [0, 1], of PGD and of IMC.
        rates: Detector -> (fidelity, printed detection rate) at kappa .75 (text on Figure 5).
    """

    name: str
    architecture: str
    accuracy: float
    specificity: Mapping[float, float]
    curves: Mapping[float, Curve]
    largest: tuple[float, float]
    stored: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rates: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)

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


def _line(text: str) -> tuple[float, ...]:
    return tuple(float(value) for value in text.split())


def _curve(linf: str, drop: str) -> Curve:
    return Curve(_line(linf), _line(drop))


_CIFAR10 = {
    0.75: _curve(
        "11.995 7.266 6.344 5.190 4.729 4.729 4.383 0", "0 .029 .045 .051 .051 .048 .053 .119"
    ),
    0.9: _curve(
        "17.993 10.957 7.959 6.459 5.998 5.306 4.960 0", "0 .011 .034 .033 .034 .047 .062 .113"
    ),
}
_GTSRB = {
    0.75: _curve(
        "13.072 11.539 10.412 9.781 9.150 8.564 8.294 0", "0 .008 .002 .019 .025 .024 .033 .271"
    ),
    0.9: _curve(
        "16.723 3.135 13.387 12.396 11.765 11.269 10.728 0", "0 .009 .013 .010 .031 .027 .025 .248"
    ),
}
_IMAGENET = {
    0.75: _curve(
        "3.126 2.904 2.701 2.571 2.349 2.349 2.164 0", "0 .257 .317 .219 .343 .343 .442 2.445"
    ),
    0.9: _curve(
        "5.168 5.068 4.588 4.236 3.940 3.866 3.626 0", "0 .057 .317 .185 .377 .370 .275 3.793"
    ),
}
_ISIC = {
    0.75: _curve(
        "31.172 12.500 12.400 12.325 12.213 12.111 12.078 0",
        "0 1.035 1.369 1.409 1.416 1.419 1.441 2.962",
    ),
    0.9: _curve(
        "29.964 19.564 19.264 19.005 18.954 18.554 18.054 0",
        "0 .435 .444 .452 .494 .535 .539 2.962",
    ),
}

PUBLISHED = MappingProxyType(
    {
        "cifar10": Published(
            *("CIFAR10", "resnet18", 95.23),
            *({0.75: 0.11, 0.9: 0.12}, _CIFAR10, (3e-2, 2e-3)),
            stored={
                "manifold": _line(".726 .709 .708 .707 .706 .702 .692 .585"),
                "smoothing": _line(".174 .174 .173 .173 .168 .166 .165 .164"),
                "curvature": _line(".509 .536 .543 .559 .572 .579 .585 .608"),
            },
        ),
        "imagenet": Published(
            *("ImageNet", "resnet18", 94.56),
            *({0.75: 2.44, 0.9: 3.83}, _IMAGENET, (4e-3, 1e-3)),
            rates={
                "manifold": ((0.0, 0.17), (0.35, 0.53)),
                "smoothing-gap": ((0.0, 0.16), (0.35, 0.47)),
                "curvature": ((0.0, 0.63), (0.35, 0.44)),
            },
        ),
        "isic": Published(
            *("ISIC", "resnet101", 88.18),
            *({0.75: 1.53, 0.9: 1.62}, _ISIC, (3e-2, 1e-3)),
        ),
        "gtsrb": Published(
            *("GTSRB", "resnet18", 99.12),
            *({0.75: 0.25, 0.9: 0.27}, _GTSRB, (3e-2, 3e-2)),
            stored={
                "manifold": _line(".787 .783 .777 .776 .775 .773 .771 .650"),
                "smoothing": _line(".153 .147 .145 .144 .142 .141 .140 .122"),
                "curvature": _line(".620 .670 .682 .696 .702 .723 .737 .899"),
            },
        ),
    }
)


class Comparison(NamedTuple):
    """What of the paper stands beside a data set, and how far the data are the same.

    Attributes:
        paper: The data set of the paper.
        data: "same data", "other split" (its authors cut the images in their own way) or "other
            copy" (a folder of images, whatever is in it).
    """

    paper: Published
    data: str


_SAME, _SPLIT, _COPY = "same data", "other split", "other copy"

# The code of the paper's authors splits the images of GTSRB and ISIC 8 : 1 : 1; the data sets here
# keep the official halves. A folder is known by its name alone.
_COMPARISONS = MappingProxyType(
    {
        "cifar10": ("cifar10", _SAME),
        "gtsrb": ("gtsrb", _SPLIT),
        "isic2018": ("isic", _SPLIT),
        "folder:cifar10": ("cifar10", _COPY),
        "folder:gtsrb": ("gtsrb", _COPY),
        "folder:imagenet20": ("imagenet", _COPY),
        "folder:isic2018": ("isic", _COPY),
    }
)


def comparison(dataset: str) -> Comparison | None:
    """What of the paper stands beside a data set; None for one that it does not study.

    Args:
        dataset: Its name in the records.
    """
    if dataset not in _COMPARISONS:
        return None
    name, data = _COMPARISONS[dataset]
    return Comparison(PUBLISHED[name], data)
