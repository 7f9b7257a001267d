"""Make victims of networks that are not of this project."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from evil_twins.bench.errors import Fault, UserError, reason
from evil_twins.bench.store.schemas import ClassifierFacts, NetworkFacts
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.networks import states
from evil_twins.bench.subjects.networks.network import Network
from evil_twins.bench.subjects.networks.outputs import choose, outputs_of
from evil_twins.bench.subjects.networks.passes import check_repeats, passed
from evil_twins.bench.subjects.networks.probes import probes
from evil_twins.bench.subjects.networks.structure import Structure, analyse, close, split

Shape = tuple[int, int, int]


def adopt(network: Network, weights: Path, classes: Sequence[str], images: Images) -> Classifier:
    """Build a network with its weights, and make a victim of it: frozen, folded, in eval mode.

    Args:
        network: The network.
        weights: The file of its weights; for a program the program itself.
        classes: Names of the classes of the data, in the order of the logits.
        images: Images of its data; on a few of them its parts are found.

    Raises:
        UserError: Code, weights, images or classes do not fit each other, or the network breaks the
            contract of a victim.
    """
    x = probes(images)
    outputs = len(network.outputs) or len(classes)
    rows = outputs_of(network.outputs, classes)
    try:
        module = loaded(network, weights, outputs, _shape(x))
        return victim_of(network, network.digest, module, x, outputs, rows)
    except Fault as fault:
        raise UserError(
            f"architecture {network.name!r}: {fault}",
            f"remedy: {network.remedy}",
        ) from fault


def loaded(network: Network, weights: Path, outputs: int, shape: Shape) -> nn.Module:
    """Build a network with its weights, as its user calls it: normalised images -> outputs.

    Args:
        network: The network.
        weights: The file of its weights; for a program the program itself.
        outputs: Number of its outputs.
        shape: (C, H, W) of the images.

    Raises:
        Fault: The weights do not fit, or some are not finite.
        UserError: The code or the file cannot be read.
    """
    stored = None if network.is_program else states.read(weights)
    module = network.build(outputs, shape)
    states.fit(module, module.state_dict() if stored is None else stored, str(weights))
    return module


def victim_of(
    network: Network, code: str, module: nn.Module, x: Tensor, outputs: int, rows: Tensor | None
) -> Classifier:
    """Split a network into trunk and last layer, and compare it with itself.

    Args:
        network: Its name and the way in which it takes pixels.
        code: The digest of its code.
        module: The network, which becomes the trunk.
        x: Images (N, C, H, W) in [0, 1].
        outputs: Number of its outputs.
        rows: The outputs that the last layer keeps, (K,); None for all.

    Raises:
        Fault: A pass fails, the outputs are no logits (N, outputs), or other passes give others.
    """
    module = frozen(module)
    mean, std = scale(network, x.shape[1])
    normalised = (x - mean) / std
    logits = passed(module, normalised, outputs)
    check_repeats(module, normalised, logits)
    structure = analyse(module, normalised)
    trunk, head = split(module, structure, outputs)
    facts = NetworkFacts(code=code, outputs=outputs, **vars(structure))
    whole = _composed(network, facts, trunk, head, _shape(x))
    if rows is not None:
        logits, whole.head = logits[:, rows], choose(head, rows)
    whole = cast(Classifier, frozen(whole).to(memory_format=torch.channels_last))
    with torch.no_grad():
        if not close(whole(x), logits):
            raise Fault("split into trunk and last layer, it gives other logits")
    return whole


def untrained(
    network: Network, classes: int, numbers: tuple[Tensor, Tensor], images: Images
) -> Classifier:
    """Build a network to be trained; its weights come from the global generator.

    Args:
        network: The network; its own normalisation goes before `numbers`.
        classes: K.
        numbers: Mean and deviation of each channel, (C,).
        images: Images of its data; on a few of them its last layer is found.

    Raises:
        UserError: It cannot be built, or breaks the contract of a victim.
    """
    x = probes(images)
    module = network.build(classes, _shape(x)).eval()
    try:
        numbers = scale(network, x.shape[1]) if network.mean else numbers
        mean, std = (values.reshape(-1, 1, 1) for values in numbers)
        normalised = (x - mean) / std
        passed(module, normalised, classes)
    except Fault as fault:
        raise UserError(
            f"architecture {network.name!r}: {fault}",
            "expected: a network whose outputs are the logits of all classes",
        ) from fault
    structure = Structure(analyse(module, normalised).head)
    trunk, head = split(module, structure, classes)
    facts = NetworkFacts(code=network.digest, outputs=classes, **vars(structure))
    whole = Classifier(network.name, _shape(x), trunk, head, mean, std)
    whole.network = facts
    return whole.to(memory_format=torch.channels_last)


def folded(model: Classifier, images: Images) -> Classifier:
    """Return a frozen copy in eval mode, with batch-norm folded where no logit changes.

    Args:
        model: A trained network that is not of this project.
        images: Images of its data.
    """
    assert model.network is not None
    whole = frozen(copy.deepcopy(model))
    structure = analyse(whole.trunk, whole.normalised(probes(images).to(whole.mean)))
    split(whole.trunk, Structure(None, structure.folded), 1)
    whole.network = model.network.model_copy(update={"folded": structure.folded})
    return cast(Classifier, frozen(whole))


def restored(
    network: Network, described: ClassifierFacts, stored: Mapping[str, Tensor]
) -> Classifier:
    """Build a stored victim with its weights.

    Args:
        network: The network.
        described: The metadata of its file, which has the parts of the network.
        stored: The weights of its file.

    Raises:
        Fault: Its code is another one than that of the file, it lacks a module, or the weights do
            not fit.
        UserError: It cannot be built.
    """
    assert described.network is not None
    model = _rebuilt(network, described.network, described.shape, described.classes)
    states.fit(model, stored, "the model")
    return model


def _rebuilt(network: Network, facts: NetworkFacts, shape: Shape, classes: int) -> Classifier:
    if facts.code != network.digest:
        raise Fault(f"the code of {network.name} is not that with which the victim was stored")
    with torch.random.fork_rng(devices=[]):
        module = frozen(network.build(facts.outputs, shape))
    try:
        trunk, head = split(module, Structure(facts.head, facts.folded), facts.outputs)
    except (AttributeError, AssertionError, TypeError) as error:
        raise Fault(f"{network.name} is not the network of the file: {reason(error)}") from error
    if head.out_features != classes:
        head = choose(head, torch.zeros(classes, dtype=torch.int64))
    return cast(Classifier, frozen(_composed(network, facts, trunk, head, shape)))


def _composed(
    network: Network, facts: NetworkFacts, trunk: nn.Module, head: nn.Linear, shape: Shape
) -> Classifier:
    whole = Classifier(network.name, shape, trunk, head, *scale(network, shape[0]))
    whole.network = facts
    return whole


def frozen(module: nn.Module) -> Any:
    """Return a module in eval mode that records no gradients of its weights."""
    return module.eval().requires_grad_(False)


def scale(network: Network, channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation (C, 1, 1) by which pixels in [0, 1] are normalised.

    Raises:
        Fault: There is not one of each for every channel.
    """
    mean, std = network.mean or (0.0,) * channels, network.std or (1.0,) * channels
    if not len(mean) == len(std) == channels:
        raise Fault(
            f"`normalise` has {len(mean)} means and {len(std)} deviations for {channels} channels"
        )
    return torch.tensor(mean).reshape(-1, 1, 1), torch.tensor(std).reshape(-1, 1, 1)


def _shape(x: Tensor) -> Shape:
    _, channels, height, width = x.shape
    return channels, height, width
