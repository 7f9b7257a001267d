"""Networks that break the contract of a victim, each in one way."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.contract.networks import Linear, Then
from tests.contract.wrong_modules import (
    Counting,
    Drawn,
    Heads,
    Kept,
    fixed_batch,
    grey,
    in_place,
    nan,
    no_graph,
    other_size,
    outputs,
    over_batch,
    shared,
)

WRONG: dict[str, tuple[Callable[[], nn.Module], str, str, str]] = {
    "NaN weights": (nan, "loads", "failed", "fc.weight has NaN or infinite values"),
    "1 channel": (grey, "takes_images", "failed", "it takes no images of shape (3, 8, 8)"),
    "another size": (other_size, "takes_images", "failed", "mat1 and mat2 shapes"),
    "rows, columns, channels": (
        lambda: Then(before=lambda x: x.permute(0, 3, 1, 2), inner=nn.Conv2d(3, 4, 8)),
        "takes_images",
        "failed",
        "it takes no images of shape (3, 8, 8)",
    ),
    "a batch of 1": (
        lambda: Then(before=fixed_batch),
        "takes_images",
        "failed",
        "it does not take 3 images at a time",
    ),
    "tuple": (lambda: Then(lambda z: (z, z)), "returns_logits", "failed", "it returns tuple"),
    "dictionary": (lambda: Then(lambda z: {"out": z}), "returns_logits", "failed", "returns dict"),
    "4 dimensions": (
        lambda: Then(lambda z: z[..., None, None]),
        "returns_logits",
        "failed",
        "it returns shape (8, 4, 1, 1); expected (N, K)",
    ),
    "float64": (lambda: Then(Tensor.double), "returns_logits", "failed", "torch.float64"),
    "half": (lambda: Then(Tensor.half), "returns_logits", "failed", "torch.float16"),
    "classes": (lambda: Then(lambda z: z.argmax(1)), "returns_logits", "failed", "shape (8,)"),
    "infinite": (lambda: Then(lambda z: z / 0), "returns_logits", "failed", "NaN or infinite"),
    "3 outputs": (lambda: outputs(3), "has_classes", "failed", "3 outputs; the data has classes"),
    "1000 outputs": (lambda: outputs(1000), "has_classes", "failed", "it has 1000 outputs"),
    "constant": (lambda: Then(lambda z: 0 * z + 1), "responds", "failed", "same logits to 8"),
    "dropout": (Drawn, "deterministic", "failed", "in a second pass a logit differs"),
    "noise": (
        lambda: Then(lambda z: z + torch.rand_like(z)),
        "deterministic",
        "failed",
        "in a second pass a logit differs",
    ),
    "batch statistics": (
        lambda: Then(before=over_batch),
        "independent",
        "failed",
        "by itself and in a batch a logit differs",
    ),
    "centred over the batch": (
        lambda: Then(lambda z: z - z.mean(0)),
        "independent",
        "failed",
        "by itself and in a batch a logit differs",
    ),
    "place in the batch": (
        lambda: Then(lambda z: z + (torch.arange(len(z)) > 6).float()[:, None].expand_as(z)),
        "independent",
        "failed",
        "a logit differs",
    ),
    "training mode": (Kept, "eval_mode", "failed", "is in training mode"),
    "counts": (Counting, "eval_mode", "failed", "a pass changes the model's calls"),
    "in place": (lambda: Then(before=in_place), "eval_mode", "warning", "changes the images"),
    "round": (lambda: Then(torch.round), "gradients", "failed", "the gradient is 0 for all"),
    "rounded pixels": (
        lambda: Then(before=lambda x: (x * 255).round() / 255),
        "gradients",
        "failed",
        "the gradient is 0 for all of 8 images",
    ),
    "no gradient": (lambda: Then(before=no_graph), "gradients", "failed", "have no gradient"),
    "detached": (lambda: Then(Tensor.detach), "gradients", "failed", "have no gradient"),
    "infinite gradient": (
        lambda: Then(before=lambda x: x + 0 * (x - x).abs().sqrt().sum()),
        "gradients",
        "failed",
        "some gradients are NaN or infinite",
    ),
    "probabilities": (
        lambda: Then(lambda z: z.softmax(1)),
        "no_probabilities",
        "failed",
        "sums to 1, as after a softmax: as logits they allow a confidence of at most 0.48",
    ),
    "sigmoid": (
        lambda: Then(lambda z: (z / 9).sigmoid()),
        "no_probabilities",
        "warning",
        "as after a sigmoid",
    ),
    "pixels to 255": (
        lambda: Linear(0, 255),
        "pixel_scale",
        "warning",
        "accuracy 1.00 with pixels from 0 to 255",
    ),
    "pixels from -1": (
        lambda: Linear(-1, 1),
        "pixel_scale",
        "warning",
        "accuracy 1.00 with pixels from -1 to 1",
    ),
    "BGR": (
        lambda: Then(before=lambda x: x.flip(1)),
        "accurate",
        "warning",
        "accuracy 1.00 with channels from blue to red (BGR)",
    ),
    "transposed": (
        lambda: Then(before=lambda x: x.mT),
        "accurate",
        "warning",
        "accuracy 1.00 with rows and columns swapped",
    ),
    "negative": (
        lambda: Then(before=lambda x: 1 - x),
        "accurate",
        "warning",
        "accuracy 1.00 with bright and dark swapped",
    ),
    "order of classes": (
        lambda: Linear(order=(2, 0, 3, 1)),
        "accurate",
        "warning",
        "accuracy 1.00 with another order of its outputs, 0.00 without",
    ),
    "weights of other data": (
        lambda: Then(lambda x: (x[:, 0, 0, :4] - x[:, 0, 1, :4]) * 50, inner=nn.Identity()),
        "accurate",
        "warning",
        "the largest class is 0.25",
    ),
    "two heads": (Heads, "last_layer", "warning", "second.fc is followed by further operations"),
    "shared head": (shared, "last_layer", "warning", "layer is called several times"),
    "log-softmax": (
        lambda: Then(lambda z: z.log_softmax(1)),
        "last_layer",
        "warning",
        "inner.fc is followed by further operations",
    ),
}
"""Name -> network, the clause that notices it, its outcome, and a part of its fault."""
