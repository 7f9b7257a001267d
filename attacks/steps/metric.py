"""The metric in which a model moves, for the parameters that may move."""

import torch
from torch import Tensor

from evil_twins.attacks.base import AttackerView, evenly
from evil_twins.attacks.models import HEAD, PairedModels
from evil_twins.attacks.steps import body
from evil_twins.attacks.steps.fisher import Body, Fisher, head_blocks
from evil_twins.attacks.steps.treatment import Others, Treatment

FISHER_IMAGES = 1024
"""Reference images over which the Fisher information of the body is averaged."""


def start(view: AttackerView, layers: str, others: Others) -> tuple[PairedModels, Treatment]:
    """Copy the parameters that may move, for each target, and choose the metric of the body.

    Args:
        view: The attacker's view.
        layers: The parameters that may move, "head" or "all".
        others: The metric of parameters that are not of convolutions or linear layers.

    Raises:
        ValueError: No parameter may move.
    """
    treatment = Treatment()
    if layers == "all":
        treatment = Treatment.of(view.victim, view.reference.x, others)
    models = PairedModels.copies(view.victim, len(view.targets), layers, treatment.frozen)
    return models, treatment


def inverse(
    view: AttackerView, models: PairedModels, treatment: Treatment, f: Tensor, floor: float
) -> Fisher:
    """Compute the inverse metric at the victim.

    Args:
        view: The attacker's view.
        models: Models of which the same parameters move.
        treatment: The metric of the body.
        f: f(·; θ°) on the reference, (M, K).
        floor: Added to the covariance of the label.
    """
    blocks, rest = None, Body()
    if models.layers == "all":
        # One metric for all targets: a target does not depend on the others of its cell.
        images = view.reference.x[evenly(len(f), FISHER_IMAGES)]
        draws = torch.Generator().manual_seed(0)
        rest = body.body_metric(view.victim, images, floor, draws, treatment)
    if models.parameters.keys() >= HEAD:
        blocks = head_blocks(view.reference.features, f, floor)
    return Fisher(blocks, rest)
