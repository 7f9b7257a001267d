"""Pass images through a network, and check what it returns."""

import torch
from torch import Tensor, nn

from evil_twins.bench.components import finite
from evil_twins.bench.errors import Fault, reason
from evil_twins.bench.subjects.networks.structure import close


@torch.no_grad()
def passed(module: nn.Module, x: Tensor, outputs: int) -> Tensor:
    """Pass normalised images (N, C, H, W) through a network.

    Returns:
        Its logits (N, outputs).

    Raises:
        Fault: It fails, or returns something else.
    """
    try:
        z = module(x)
    except Exception as error:  # the network is a user's code
        raise Fault(f"it takes no images of shape {tuple(x.shape[1:])}: {reason(error)}") from error
    if not isinstance(z, Tensor):
        raise Fault(f"it returns {type(z).__name__}; expected a tensor of logits")
    if tuple(z.shape) != (len(x), outputs):
        raise Fault(f"it returns {tuple(z.shape)} for {len(x)} images and {outputs} classes")
    if z.dtype != x.dtype:
        raise Fault(f"it returns {z.dtype} for images in {x.dtype}; expected the same")
    return finite.logits(z, "it")


@torch.no_grad()
def check_repeats(module: nn.Module, x: Tensor, logits: Tensor) -> None:
    """Check that images get the same logits in another pass, and in a batch of another size.

    Args:
        module: The network in eval mode.
        x: Normalised images (N, C, H, W).
        logits: Its logits for them (N, K).

    Raises:
        Fault: They get others.
    """
    if not close(module(x), logits):
        raise Fault("it gives other logits in a second pass; expected: no randomness in eval mode")
    try:
        first = module(x[:1])
    except Exception as error:  # the network is a user's code
        raise Fault(f"it takes no single image: {reason(error)}") from error
    if not close(first, logits[:1]):
        raise Fault("the logits of an image depend on the other images of its batch")
