"""Build networks of torchvision."""

import inspect

from torch import nn
from torchvision import models

from evil_twins.bench.errors import unknown


def build(name: str, outputs: int, shape: tuple[int, int, int]) -> nn.Module:
    """Build a classifier of torchvision without weights.

    Args:
        name: Its name in `torchvision.models.list_models()`.
        outputs: Number of its outputs.
        shape: (C, H, W) of the images; vision transformers are built for their side.

    Raises:
        UserError: There is no such network.
    """
    names = models.list_models(module=models)
    if name not in names:
        raise unknown("network of torchvision", name, names)
    builder = models.get_model_builder(name)
    sized = inspect.unwrap(builder).__name__.startswith("vit_")
    network: nn.Module = (
        builder(weights=None, num_classes=outputs, image_size=shape[1])
        if sized
        else builder(weights=None, num_classes=outputs)
    )
    return network
