"""Check a network that is not of this project against data and rows of a suite, before it runs."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.treatment import Others, layer_kinds
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.networks import probes
from evil_twins.bench.suite.suite import Suite


def check_network(suite: Suite, data: Dataset) -> None:
    """Build the network of a suite, and check that images, classes and rows fit it.

    Raises:
        UserError: Its code, its weights or its outputs do not fit, or a row changes layers that the
            network does not have.
    """
    if suite.network is None:
        return
    x = probes.probes(data.train)
    for model in _models(suite, data):
        _check_rows(suite, model, x)


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
