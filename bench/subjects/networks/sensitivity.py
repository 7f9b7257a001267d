"""Check how the logits of a network depend on its images, without which no attack can work."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from evil_twins.bench.errors import Fault
from evil_twins.bench.subjects.networks.structure import close

Forward = Callable[[Tensor], Tensor]
"""Images (N, C, H, W) in [0, 1] -> logits (N, K)."""

DIFFERENTIATE = (
    "compute the logits from the images by differentiable operations: no argmax, round, .data, "
    "detach() or torch.no_grad()"
)
UNSQUASH = "return the logits: remove the softmax or sigmoid at its end, or return p.log()"
DEPEND = "let the outputs depend on the images: check the weights and the scale of the pixels"


def gradient_norms(forward: Forward, x: Tensor) -> Tensor:
    """Return the l2 norm of the gradient of a mix of the logits by each image, (N,).

    Raises:
        Fault: There is no gradient, or it is not finite.
    """
    leaf = x.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about code of the network
        z = forward(leaf)
    slope: Tensor | None = None
    if z.requires_grad:
        (slope,) = torch.autograd.grad(z, leaf, direction(z), allow_unused=True)
    if slope is None:
        raise Fault("the logits have no gradient by the images")
    if not bool(slope.isfinite().all()):
        raise Fault("some gradients are NaN or infinite")
    norms: Tensor = slope.flatten(1).norm(dim=1)
    return norms


def direction(z: Tensor) -> Tensor:
    """Return weights of logits in general position, always the same."""
    draws = torch.Generator().manual_seed(0)
    return torch.randn(z.shape, generator=draws).to(z)


def check_gradients(norms: Tensor) -> None:
    """Check that some gradient is not 0.

    Raises:
        Fault: All are.
    """
    if not bool(norms.any()):
        raise Fault(f"the gradient is 0 for all of {len(norms)} images")


def check_differences(z: Tensor) -> None:
    """Check that logits (N, K) differ from image to image.

    Raises:
        Fault: They do not.
    """
    if float((z - z[:1]).abs().max()) == 0:
        raise Fault(f"it gives the same logits to {len(z)} images")


def check_no_softmax(z: Tensor) -> None:
    """Check that outputs (N, K) are no probabilities.

    Raises:
        Fault: Each row is in [0, 1] and sums to 1.
    """
    if within_unit(z) and close(z.sum(1), torch.ones_like(z[:, 0])):
        most = float(z.max().exp() / (z.max().exp() + z.shape[1] - 1))
        limit = f"as logits they allow a confidence of at most {most:.2f}"
        raise Fault(f"each row is in [0, 1] and sums to 1, as after a softmax: {limit}")


def within_unit(z: Tensor) -> bool:
    """Check whether all outputs are in [0, 1]."""
    return bool(((z >= 0) & (z <= 1)).all())
