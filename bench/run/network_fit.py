"""Check a network that is not of this project against data and rows of a suite, before it runs."""

from collections.abc import Iterator
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.treatment import Others, layer_kinds
from evil_twins.bench.components.containment import user_code
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.subjects.networks import probes, sensitivity
from evil_twins.bench.suite.suite import Suite

JUDGED = 64
"""Most images on which an accuracy is measured before anything runs."""

ERRORS = 3.0
"""Number of standard errors by which an accuracy should exceed chance."""

SIGMOID = "all outputs are in [0, 1], as after a sigmoid: return the logits"
CAUSES = "normalisation, size, order of classes or of channels may differ from its training"


def check_network(suite: Suite, data: Dataset) -> list[str]:
    """Build the network of a suite, and check that images, classes and rows fit it.

    Returns:
        A line for each victim that has outputs like those of a sigmoid, or classifies no better
        than chance.

    Raises:
        UserError: Its code, its weights or its outputs do not fit, no gradient leads from its
            logits to the images, or a row changes layers that the network does not have.
    """
    if suite.network is None:
        return []
    x, doubts = probes.probes(data.train), list[str]()
    for model in _models(suite, data):
        z = _checked_logits(suite, model, x)
        _check_rows(suite, model, x)
        lines = [SIGMOID] if sensitivity.within_unit(z) else []
        lines += low_accuracy(model, data.calibration) if suite.weights else []
        doubts += [f"{suite.network.name}: {line}" for line in lines]
    return doubts


def _checked_logits(suite: Suite, model: Classifier, x: Tensor) -> Tensor:
    """Return logits that depend on the images; those of an untrained network may be constant."""
    assert suite.network is not None
    title = f"architecture {suite.network.name!r}"
    with user_code(title, f"remedy: {sensitivity.DEPEND}"), torch.no_grad():
        z: Tensor = model(x)
        if suite.weights:
            sensitivity.check_differences(z)
    with user_code(title, f"remedy: {sensitivity.DIFFERENTIATE}"):
        norms = sensitivity.gradient_norms(model, x)
        if suite.weights:
            sensitivity.check_gradients(norms)
    with user_code(title, f"remedy: {sensitivity.UNSQUASH}"):
        sensitivity.check_no_softmax(z)
    return z


def low_accuracy(model: Classifier, images: Images) -> list[str]:
    """Return a line if a network classifies no better than chance.

    Args:
        model: The victim.
        images: Labelled images; the first ones are classified, at most `JUDGED`.
    """
    sample = images.take(range(min(len(images), JUDGED)))
    share, count = victims.accuracy(model, sample), len(sample)
    chance = float(sample.label.bincount().max()) / count
    error = sqrt((share * (1 - share) + chance * (1 - chance)) / count)
    if share - chance > ERRORS * error or share == 1:
        return []
    facts = f"accuracy {share:.2f} of {count} images, where the largest class is {chance:.2f}"
    return [f"{facts}: {CAUSES}; `check` measures which"]


def _check_rows(suite: Suite, model: Classifier, x: Tensor) -> None:
    assert suite.network is not None
    for row in suite.rows:
        attack = row.attack.build()
        if why := immovable(model, attack, x):
            layers = attack.nature.layers
            instead = 'layers = "all"' if layers == "head" else 'others = "diagonal"'
            raise UserError(
                f"attack {row.label!r} with layers = {layers!r}: {suite.network.name} {why}",
                f"remedy: model = {{ {instead} }}, or remove the attack",
            )


def immovable(model: Classifier, attack: Any, x: Tensor) -> str:
    """Return why a network has no layers that an attack can change, or "".

    Args:
        model: The victim.
        attack: The attack.
        x: Images (N, C, H, W), of which a few are passed.
    """
    nature = attack.nature
    if nature.moves not in ("model", "both"):
        return ""
    if nature.layers == "head":
        return "" if [*model.head.parameters()] else "has no linear layer that gives the logits"
    steps = [value for value in vars(attack).values() if isinstance(value, ModelStep)]
    others: Others = steps[0].others if steps else "diagonal"
    kinds = set(layer_kinds(model, x, others).values())
    return "has no parameters that may move" if kinds <= {"frozen"} else ""


def _models(suite: Suite, data: Dataset) -> Iterator[Classifier]:
    """Give each victim with its weights, or one that is untrained."""
    assert suite.network is not None
    for path in suite.weights:
        yield weights.adopted(suite.network, path, data)
    if not suite.weights:
        model = victims.initial(data.train, suite.network, len(data.classes), suite.victim.seed)
        yield victims.finished(model, data.train)
