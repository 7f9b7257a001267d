"""Build networks of timm."""

from functools import partial
from importlib import import_module

from torch import nn

from evil_twins.bench.errors import UserError, unknown

INSTALL = "remedy: pip install 'evil-twins[timm]'"


def build(name: str, outputs: int, shape: tuple[int, int, int]) -> nn.Module:
    """Build a classifier of timm without weights.

    Args:
        name: Its name in `timm.list_models()`.
        outputs: Number of its outputs.
        shape: (C, H, W) of the images; networks that need a size are built for it.

    Raises:
        UserError: There is no such network, or timm is not installed.
    """
    try:
        timm = import_module("timm")
    except ImportError as error:
        raise UserError(f"architecture 'timm:{name}' needs the package timm", INSTALL) from error
    if not timm.is_model(name):
        raise unknown("network of timm", name, timm.list_models())
    make = partial(timm.create_model, name, num_classes=outputs, in_chans=shape[0])
    network: nn.Module
    try:
        network = make(img_size=shape[1:])
    except TypeError:  # most convolutional networks take images of any size
        network = make()
    return network
