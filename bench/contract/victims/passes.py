"""The clauses on passes of a network: its outputs, their independence, their gradients."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from evil_twins.bench.contract.clause import Broken, Doubtful, Inapplicable, clause
from evil_twins.bench.contract.state import changes, snapshot, stir
from evil_twins.bench.contract.victims.case import ModelCase, broken
from evil_twins.bench.errors import Fault, UserError, reason
from evil_twins.bench.subjects.networks import sensitivity
from evil_twins.detectors.spectrum.differentiable import twice_differentiable

INDEPENDENT = 1e-4
"""Allowed rounding of a logit in another batch, as a share of the largest logit."""

EVAL = "draw nothing and count nothing in eval mode: F.dropout(x, training=self.training)"


@clause("see that its code builds it, and that its weights are a finite state_dict of this network")
def loads(case: ModelCase) -> str:
    """Its code builds it, and its weights fit it and are finite."""
    module = case.module
    for name, value in module.state_dict().items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise Broken(f"{name} has NaN or infinite values")
    count = sum(value.numel() for value in module.parameters())
    if not case.origin.trained:
        return f"{count:,} parameters without weights: a suite would train it"
    return f"{count:,} parameters"


@clause(
    "let it take any number of images of this shape, or state another --shape", after=("loads",)
)
def takes_images(case: ModelCase) -> str:
    """It takes batches of any size of the images of its data."""
    failures = dict[int, str]()
    try:
        case.scale(case.x)
    except Fault as fault:
        raise Broken(str(fault), "give --normalise one mean and one deviation a channel") from fault
    for count in (1, 3, 8):
        try:
            with torch.no_grad():
                case.outputs(case.x[:count])
        except Exception as error:  # the network is a user's code
            failures[count] = reason(error)
    if len(failures) == 3:
        raise Broken(f"it takes no images of shape {case.shape}: {failures[8]}")
    if failures:
        count, why = next(iter(failures.items()))
        fixed = "export it with a dynamic batch: torch.export.export(..., dynamic_shapes=({0: "
        fixed += "torch.export.Dim.AUTO},)), torch.onnx.export(..., dynamic_axes={'x': {0: 'n'}})"
        raise Broken(f"it does not take {count} images at a time: {why}", fixed)
    return f"images {case.shape}"


@clause(
    "return one tensor of logits (N, K) in float32, such as `return z`", after=("takes_images",)
)
def returns_logits(case: ModelCase) -> str:
    """It returns one tensor of finite logits (N, K) in float32."""
    try:
        return f"logits {tuple(case.z.shape)}"
    except Fault as fault:
        with torch.no_grad():
            z = case.outputs(case.x)
        raise Broken(_form(z) or str(fault), _unpacked(z)) from fault


def _form(z: Any) -> str:
    if isinstance(z, Tensor) and z.dim() != 2:
        return f"it returns shape {tuple(z.shape)}; expected (N, K)"
    return ""


def _unpacked(z: Any) -> str:
    """Return the remedy for a container of tensors."""
    if isinstance(z, tuple | list):
        return "return the logits only, such as `return z[0]`, from the forward of a wrapper"
    if isinstance(z, dict):
        names = ", ".join(map(repr, z))
        return f"return the logits only, such as `return z[name]` with one of {names}"
    if isinstance(z, Tensor) and z.dtype != torch.float32:
        return "compute in float32, or return z.float()"
    return ""


@clause(
    "let it have an output for each class; name them by --classes, if it has more",
    after=("returns_logits",),
)
def has_classes(case: ModelCase) -> str:
    """It has an output for each class of the data."""
    if case.classes is None:
        raise Inapplicable(f"no data is given; remedy: {case.data_option}")
    outputs, expected = case.z.shape[1], len(case.origin.outputs or case.classes)
    whose = "--classes names" if case.origin.outputs else "the data has classes:"
    if outputs != expected:
        named, added = "name them in their order by outputs=[...]", "add outputs to it"
        remedy = (named if outputs > expected else added) if case.in_memory else ""
        raise Broken(f"it has {outputs} outputs; {whose} {expected}", remedy)
    try:
        rows = case.rows
    except UserError as error:
        raise broken(error) from error
    used = "" if rows is None else f", of which {len(rows)} are used"
    return f"{outputs} outputs{used}, {len(case.classes)} classes"


@clause(sensitivity.DEPEND, after=("returns_logits",))
def responds(case: ModelCase) -> None:
    """Its logits differ from image to image."""
    sensitivity.check_differences(case.z)


@clause(EVAL, after=("returns_logits",))
def deterministic(case: ModelCase) -> None:
    """It gives the same logits again and again."""
    first = case.z
    for seed in (1, 2):
        stir(seed)
        with torch.no_grad():
            _compare(case.outputs(case.x), first, "in a second pass")


@clause(
    "use statistics of training (batch-norm in eval mode), never those of the batch",
    after=("deterministic",),
)
def independent(case: ModelCase) -> None:
    """The logits of an image do not depend on the other images of the batch."""
    with torch.no_grad():
        single = torch.cat([case.outputs(image) for image in case.x.split(1)])
        _compare(single, case.z, "by itself and in a batch", INDEPENDENT)
        turned = case.outputs(case.x.flip(0)).flip(0)
        _compare(turned, case.z, "in another order of the batch", INDEPENDENT)


def _compare(z: Tensor, usual: Tensor, how: str, share: float = INDEPENDENT) -> None:
    difference, most = float((z - usual).abs().max()), float(usual.abs().max())
    if difference > share * max(most, 1e-30) + 1e-7:
        raise Broken(f"{how} a logit differs by {difference:.3g}; the largest is {most:.3g}")


@clause("override neither eval() nor train(), and work on copies: x = x.clone()", after=("loads",))
def eval_mode(case: ModelCase) -> None:
    """Eval mode switches every part, and a pass changes neither weights nor images."""
    module = case.module
    kept = [name or "the network" for name, part in module.named_modules() if part.training]
    if kept:
        raise Broken(f"after eval(), {kept[0]} is in training mode")
    x = case.scale(case.x)
    before, images = snapshot(module, {}), x.clone()
    try:
        with torch.no_grad():
            module(x)
    except Exception as error:  # the clause `takes_images` judges it
        raise Inapplicable(f"a pass fails: {reason(error)}") from error
    changed = changes(before, snapshot(module, {}))
    if changed:
        raise Broken(f"a pass changes {changed[0]}")
    if not torch.equal(images, x):
        raise Doubtful("a pass changes the images that it gets")


@clause(
    sensitivity.DIFFERENTIATE,
    after=("returns_logits", "responds", "no_probabilities"),
)
def gradients(case: ModelCase) -> str:
    """The gradient of the logits by the images exists and is finite."""
    norms = sensitivity.gradient_norms(case.outputs, case.x)
    sensitivity.check_gradients(norms)
    if flat := int((norms == 0).sum()):
        count = len(norms)
        raise Doubtful(f"the gradient is 0 for {flat} of {count} images, which no attack can move")
    return f"median l2 of a gradient {float(norms.median()):.3g}"


@clause(
    "use operations with a second derivative, such as ReLU or SiLU for Hardswish",
    after=("gradients",),
)
def second_derivatives(case: ModelCase) -> None:
    """Second derivatives by the images exist and are finite."""
    try:
        curvature = _product(case)
    except (RuntimeError, NotImplementedError) as error:
        lost = "detectors by curvature cannot have it"
        raise Doubtful(f"{reason(error)[:160]}: {lost}") from error
    if curvature is not None and not bool(curvature.isfinite().all()):
        raise Doubtful("some second derivatives are NaN or infinite")


def _product(case: ModelCase) -> Tensor | None:
    """Return the product of the Hessian of the loss with a vector; None if there is no graph."""
    x = case.x.clone().requires_grad_()
    with twice_differentiable(case.module):  # as curvature does
        z = case.outputs(x)
        (slope,) = torch.autograd.grad(cross_entropy(z, z.argmax(1)), x, create_graph=True)
    if not slope.requires_grad:
        return None
    return torch.autograd.grad(slope, x, sensitivity.direction(slope), allow_unused=True)[0]


@clause(sensitivity.UNSQUASH, after=("returns_logits",))
def no_probabilities(case: ModelCase) -> None:
    """Its outputs are logits, not probabilities."""
    sensitivity.check_no_softmax(case.z)
    if sensitivity.within_unit(case.z):
        raise Doubtful("all outputs are in [0, 1], as after a sigmoid")


PASSES = (
    *(loads, eval_mode, takes_images, returns_logits, has_classes, responds, deterministic),
    *(independent, no_probabilities, gradients, second_derivatives),
)
