"""Check a network that is not of this project against data and rows of a suite, before it runs."""

from torch import nn

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.suite.suite import Suite


def check_network(suite: Suite, data: Dataset) -> None:
    """Build the network of a suite, and check that images, classes and rows fit it.

    Raises:
        UserError: Its code, its weights or its outputs do not fit, or a row changes layers that the
            network does not have, or that the attack does not know.
    """
    if suite.network is None:
        return
    model = _model(suite, data)
    reasons = unfit_layers(model)
    for row in suite.rows:
        nature = row.attack.build().nature
        if nature.moves in ("model", "both") and (why := reasons[nature.layers]):
            other = "all" if nature.layers == "head" else "head"
            instead = "" if reasons[other] else f'model = {{ layers = "{other}" }}, or '
            raise UserError(
                f"attack {row.label!r} with layers = {nature.layers!r}: {suite.network.name} {why}",
                f"remedy: {instead}remove the attack",
            )


def unfit_layers(model: Classifier) -> dict[str, str]:
    """Return why no row may change these layers, "head" and "all"; "" if a row may."""
    return {"head": _no_head(model), "all": _unknown_layer(model)}


def _no_head(model: Classifier) -> str:
    """Return why no row may change the last layer, or ""."""
    if model.network is None or model.network.head:
        return ""
    return "has no linear layer that gives the logits"


def _unknown_layer(model: Classifier) -> str:
    """Return why no row may change all layers, or "".

    The metric of `attacks.steps.fisher` knows convolutions in one group and linear layers, each
    with a bias.
    """
    for name, layer in model.named_modules():
        if [*layer.parameters(recurse=False)] and not _is_known(layer):
            return f"has {name} ({type(layer).__name__}), which the metric does not know"
    return ""


def _is_known(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        usual = layer.groups == 1 and layer.padding_mode == "zeros" and layer.padding != "same"
        return usual and layer.bias is not None
    return isinstance(layer, nn.Linear) and layer.bias is not None


def _model(suite: Suite, data: Dataset) -> Classifier:
    """Return the victim with its weights, or untrained."""
    assert suite.network is not None
    if suite.weights is not None:
        return weights.adopted(suite.network, suite.weights, data)
    model = victims.initial(data.train, suite.network, len(data.classes), suite.victim.seed)
    return victims.finished(model, data.train)
