"""The clauses on the accuracy of a network, and the usual causes of a low one, each measured."""

from collections.abc import Callable, Mapping
from math import sqrt

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import interpolate

from evil_twins.bench.contract.clause import Doubtful, clause
from evil_twins.bench.contract.victims.case import ModelCase
from evil_twins.bench.contract.victims.origins import Scale

GAIN = 0.05
"""Smallest gain of accuracy that is worth a warning."""

ERRORS = 3.0
"""Number of standard errors by which a gain must exceed 0."""

SHOWN, LONGEST = 6, 300
"""Most classes in a remedy that does not name all, and most characters of names in another."""

AFTER = ("has_classes", "responds", "deterministic")


def _enlarged(x: Tensor) -> Tensor:
    """Cut the middle 7/8 of images and enlarge it."""
    height, width = x.shape[2:]
    top, side = max(1, height // 16), max(1, width // 16)
    middle = x[..., top : height - top, side : width - side]
    return interpolate(middle, (height, width), mode="bilinear", antialias=True)


def _changes(case: ModelCase) -> Mapping[str, tuple[Callable[[Tensor], Tensor], str]]:
    """Return changes of images by name, each with its remedy."""
    channels, height, width = case.shape
    changes: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {}
    if channels == 3:
        blue = "let its code begin with x.flip(1): images come as red, green, blue"
        changes["channels from blue to red (BGR)"] = (lambda x: x.flip(1), blue)
    if height == width:
        turned = "let its code begin with x.mT: images come as rows of pixels (N, C, H, W)"
        changes["rows and columns swapped"] = (lambda x: x.mT, turned)
    negative = "let its code begin with 1 - x"
    changes["bright and dark swapped"] = (lambda x: 1 - x, negative)
    if min(height, width) >= 4:
        resized = "resize the images as those of its training: cut their middle first"
        changes["the middle 7/8 of the images, enlarged"] = (_enlarged, resized)
    return changes


def _better(share: float, usual: float, count: int) -> bool:
    """Check whether an accuracy is higher than another one of as many images, beyond chance."""
    error = sqrt((share * (1 - share) + usual * (1 - usual)) / count)
    return share - usual > max(GAIN, ERRORS * error)


def _best_scale(case: ModelCase) -> tuple[str, Scale, float]:
    """Return the normalisation of the highest accuracy with its name; "" for the usual one."""
    usual, *others = case.accuracies
    best, count = usual, len(case.sample)
    for name, scale, share in others:
        if share > best[2] and _explains(case, share, usual[2], count):
            best = (name, scale, share)
    return best


def _usual(case: ModelCase) -> float:
    return case.accuracies[0][2]


@clause("normalise as in its training, by --normalise, or `normalise` of [victim]", after=AFTER)
def pixel_scale(case: ModelCase) -> str:
    """Its pixels have the scale of its training."""
    name, scale, share = _best_scale(case)
    if name:
        numbers = f"accuracy {share:.2f} with {name}, {_usual(case):.2f} without"
        inside = case.origin.network is None
        raise Doubtful(numbers, "" if inside else scale.layer if case.in_memory else scale.option)
    return f"no other usual normalisation gives more than accuracy {_usual(case):.2f}"


@clause(
    "see that data and weights belong together; no order of classes, scale, channels, orientation "
    "or cut of the images explains it",
    after=AFTER,
)
def accurate(case: ModelCase) -> str:
    """It classifies the images of its data."""
    count, usual, (_, _, scaled) = len(case.sample), _usual(case), _best_scale(case)
    share, name, remedy = _best_cause(case)
    if name:
        raise Doubtful(f"accuracy {share:.2f} with {name}, {scaled:.2f} without", remedy)
    chance = _chance(case)
    if not _better(usual, chance, count):
        remedy = "normalise as the clause on the scale says" if scaled > usual else ""
        facts = f"accuracy {usual:.2f} of {count} images; the largest class is {chance:.2f}"
        raise Doubtful(facts, remedy)
    return f"accuracy {usual:.3f} of {count} images; the largest class is {chance:.2f}"


def _chance(case: ModelCase) -> float:
    """Return the share of the largest class."""
    return float(case.sample.label.bincount().max()) / len(case.sample)


def _best_cause(case: ModelCase) -> tuple[float, str, str]:
    """Return the change that explains a low accuracy best: its accuracy, its name, its remedy.

    Without one the name is "".
    """
    (_, scale, scaled), count = _best_scale(case), len(case.sample)
    best = (scaled, "", "")
    for name, (change, remedy) in _changes(case).items():
        share = case.right(change(case.sample.x), scale)
        if share > best[0] and _explains(case, share, scaled, count):
            best = (share, name, remedy)
    share, order = _best_order(case, scale)
    if share > best[0] and _explains(case, share, scaled, count // 2):
        best = (share, "another order of its outputs", _order_remedy(case, order))
    return best


def _explains(case: ModelCase, share: float, usual: float, count: int) -> bool:
    """Check whether an accuracy is higher than the usual one, and than chance."""
    return _better(share, usual, count) and _better(share, _chance(case), count)


def _best_order(case: ModelCase, scale: Scale) -> tuple[float, list[int]]:
    """Return the accuracy with the best order of the outputs, and the output of each class.

    The order is chosen on every other image of each class, and the accuracy is that of the rest.
    """
    predicted, label = case.predicted(case.sample.x, scale), case.sample.label
    outputs, classes = case.z.shape[1], len(case.classes or ())
    by_class = label.argsort(stable=True)
    first, second = by_class[::2], by_class[1::2]
    confusion = np.zeros((classes, outputs), dtype=int)
    np.add.at(confusion, (label[first].numpy(), predicted[first].numpy()), 1)
    order = linear_sum_assignment(-confusion)[1].tolist()
    expected = torch.tensor(order)[label[second]]
    return float((predicted[second] == expected).double().mean()), order


def _order_remedy(case: ModelCase, order: list[int]) -> str:
    names, outputs = case.classes or (), case.z.shape[1]
    if case.in_memory:
        rows = ", ".join(map(str, order[:LONGEST]))
        return f"let a wrapper return z[:, [{rows}]], or number the labels as its outputs"
    if outputs == len(names) and len(",".join(names)) <= LONGEST:
        listed = dict(zip(order, names, strict=True))
        return f"--classes {','.join(listed[i] for i in range(outputs))}"
    pairs = list(zip(names, order, strict=True))[:SHOWN]
    text = ", ".join(f"{name} is output {i}" for name, i in pairs)
    return f"name the outputs in their order by --classes: {text}{', ...' * (outputs > SHOWN)}"


ACCURACY = (pixel_scale, accurate)
