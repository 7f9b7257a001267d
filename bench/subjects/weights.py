"""Files of weights: store classifiers, read them back, check that they fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from evil_twins.bench.components import finite
from evil_twins.bench.errors import Fault, UserError, why
from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.store.schemas import ClassifierFacts
from evil_twins.bench.subjects.adopting import adoption
from evil_twins.bench.subjects.architectures import Classifier, build, fold
from evil_twins.bench.subjects.data import Dataset

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network

DAMAGE = (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError)
"""Errors of a file that is missing, damaged, or describes no network."""

PROBES = 8
"""Training images whose logits are computed before a suite runs."""


def save(model: Classifier, path: Path) -> None:
    """Store a folded classifier as safetensors; the same classifier gives the same bytes."""
    # Copies: several names may share one tensor, which safetensors refuses.
    state = {name: value.contiguous().clone() for name, value in model.state_dict().items()}
    # One entry only: the order of several is undefined, and so would be the bytes.
    facts = {"architecture": model.architecture, "classes": model.classes, "shape": model.shape}
    facts |= {"network": model.network.model_dump()} if model.network else {}
    with files.creating(path, path.parent) as draft:
        save_file(state, draft, {"classifier": json.dumps(facts)})


def load(path: Path, within: Path | None, network: Network | None = None) -> Classifier:
    """Read the classifier that `save` stored: folded, frozen, eval mode, on the CPU.

    Every stored model enters here. Weights in torch's default type stay as they are, bit for bit;
    others are converted to it.

    Args:
        path: The file.
        within: The folder that links must not leave, or None for a file that the user named.
        network: The code of the network, if it is not of this project. No file brings code.

    Raises:
        UserError: The file is missing, damaged, or no stored classifier, its architecture is
            unknown or another one, or some weights are not finite.
    """
    try:
        with files.opened(path, within) as file:
            with safe_open(files.path_of(file), "pt") as header:
                metadata = header.metadata() or {}
            stored = load_file(files.path_of(file))
        facts = json_files.parse(metadata.get("classifier", "").encode(), ClassifierFacts)
        if facts is None:
            raise Fault("has weights and no description of their network")
        model = _ours(facts, stored) if network is None else _other(facts, stored, network)
    except (Fault, UserError, *DAMAGE) as error:
        raise UserError(
            f"{path}: {why(error)}",
            "expected: a classifier stored by this program (safetensors)",
            "remedy: name the `architecture` of a network that is not of this project, too",
        ) from error
    return model.to(memory_format=torch.channels_last).requires_grad_(False)


def _ours(facts: ClassifierFacts, stored: Mapping[str, Tensor]) -> Classifier:
    """Build a network of this project with stored weights.

    Raises:
        Fault: The weights do not fit it.
        UserError: The architecture is unknown.
    """
    with torch.device("meta"):
        scale = torch.ones(facts.shape[0])
        model = fold(build(facts.architecture, facts.classes, facts.shape, scale, scale))
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    state = finite.weights(stored, shapes, "the model")
    if missing := [name for name in shapes if name not in state]:
        raise Fault(f"the model lacks {missing[0]}")
    model.load_state_dict(state, assign=True)
    return model


def _other(facts: ClassifierFacts, stored: Mapping[str, Tensor], network: Network) -> Classifier:
    """Build a network that is not of this project with stored weights.

    Raises:
        Fault: The file is that of another network, or the weights do not fit.
    """
    if facts.network is None or facts.architecture != network.name:
        raise Fault(f"it is that of {facts.architecture!r}, not of {network.name!r}")
    model: Classifier = adoption().restored(network, facts, stored)
    return model


def adopted(network: Network, path: Path, data: Dataset) -> Classifier:
    """Make a victim of a network and its file of weights; see `adoption.adopt`."""
    model: Classifier = adoption().adopt(network, path, data.classes, data.train)
    return model


def digest(path: Path, architecture: str, data: Dataset) -> str:
    """Return the SHA-256 of a file of weights, if it fits architecture and data of a suite.

    Raises:
        UserError: The file is missing, damaged or that of another network, or its logits are not
            finite.
    """
    model = load(path, None)
    shapes = tuple(model.shape), tuple(data.train.pixels.shape[1:])
    actual = f"{model.architecture} of {model.classes} classes for images {shapes[0]}"
    expected = f"{architecture} of {len(data.classes)} classes for images {shapes[1]}"
    if actual != expected:
        raise UserError(f"{path}: {actual}", f"expected: {expected}")
    try:
        with torch.no_grad():
            finite.logits(model(data.train.take(range(PROBES)).x), "the model")
    except Fault as fault:
        raise UserError(f"{path}: {fault}", "remedy: another file of weights") from fault
    return checksum(path, None)
