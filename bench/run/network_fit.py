"""Check a network that is not of this project against data and rows of a suite, before it runs."""

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.suite.suite import Suite


def check_network(suite: Suite, data: Dataset) -> None:
    """Build the network of a suite, and check that images, classes and rows fit it.

    Raises:
        UserError: Its code, its weights or its outputs do not fit, or a row changes the last linear
            layer of a network that has none.
    """
    if suite.network is None:
        return
    model = _model(suite, data)
    if model.network is None or model.network.head is not None:
        return
    for row in suite.rows:
        nature = row.attack.build().nature
        if nature.moves in ("model", "both") and nature.layers == "head":
            raise UserError(
                f"attack {row.label!r} changes the last layer, and {suite.network.name} has no "
                "linear layer whose result is the logits",
                'remedy: model = { layers = "all" }, or remove the attack',
            )


def _model(suite: Suite, data: Dataset) -> Classifier:
    """Return the victim with its weights, or untrained."""
    assert suite.network is not None
    if suite.weights is not None:
        return weights.adopted(suite.network, suite.weights, data)
    return victims.initial(data.train, suite.network, len(data.classes), suite.victim.seed)
