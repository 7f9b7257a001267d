"""Check the return values of attacks and detectors before they are measured or stored."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.stamps import Stamp
from evil_twins.bench.components.faced import faced_models
from evil_twins.bench.errors import Fault

STAMPED = 1e-5
"""Largest difference of x* from the stamped x°, by rounding."""


def _shape(shape: torch.Size) -> str:
    return "×".join(str(size) for size in shape) or "no dimension"


def _check_images(x: object, like: Tensor, whose: str) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = f"{x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise Fault(f"{whose} returned {kind} for x*; expected a tensor of floating-point numbers")
    if x.shape != like.shape:
        raise Fault(f"{whose} returned x* of {_shape(x.shape)}; expected {_shape(like.shape)}")
    if not bool(torch.isfinite(x).all()):
        count = int((~torch.isfinite(x)).flatten(1).any(1).sum())
        raise Fault(f"{whose} returned NaN or infinite pixels in {count} of {len(x)} images")
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 1:
        raise Fault(f"{whose} returned pixels in [{low:.4g}, {high:.4g}]; expected [0, 1]")


def attacked(result: Any, view: AttackerView, whose: str) -> Attacked:
    """Return the return value of an attack on a view, if it is valid, over the victim of the view.

    An attack may have changed its copy of the victim. x* gets the type of the view's images.

    Raises:
        Fault: Wrong type, shape, range, number or names; the message names the attack by `whose`.
    """
    n = len(view.targets)
    if not isinstance(result, Attacked) or not isinstance(result.models, PairedModels):
        raise Fault(
            f"{whose} returned {type(result).__name__}; expected Attacked with PairedModels"
        )
    _check_images(result.x, view.targets.x, whose)
    if len(result.models) != n:
        raise Fault(f"{whose} returned {len(result.models)} models for {n} targets")
    if result.serves < 1 or n % result.serves:
        raise Fault(f"{whose} returned serves = {result.serves} for {n} targets")
    models = faced_models(result.models.parameters, view.victim, n, whose)
    facts = {name: getattr(result, name) for name in ("confidence", "rounds", "passes")}
    for name, value in (facts | ({} if result.bound is None else {"bound": result.bound})).items():
        numbers(value, n, f"{whose}, {name},", "targets")
    valid: Attacked = replace(result, x=result.x.to(view.targets.x.dtype), models=models)
    if valid.stamp is not None:
        _check_stamp(valid, view.targets.x, whose)
    return valid


def _check_stamp(result: Attacked, origin: Tensor, whose: str) -> None:
    """Check that x* are the stamped x° (N, C, H, W)."""
    stamp, count = result.stamp, len(origin) // result.serves
    if not isinstance(stamp, Stamp) or len(stamp) != count:
        kind = f"{len(stamp)} triggers" if isinstance(stamp, Stamp) else type(stamp).__name__
        raise Fault(f"{whose} returned {kind}; expected a Stamp of {count}")
    shape = origin.shape[1:]
    shapes = {"mask": (count, 1, *shape[1:]), "pattern": (count, *shape)}
    for name, expected in shapes.items():
        value: object = getattr(stamp, name)
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise Fault(f"{whose} returned no tensor of floating-point numbers as {name}")
        if value.shape != expected:
            got, wanted = _shape(value.shape), _shape(torch.Size(expected))
            raise Fault(f"{whose} returned a {name} of {got}; expected {wanted}")
        if not bool(torch.isfinite(value).all()):
            raise Fault(f"{whose} returned NaN or infinity in the {name} of its trigger")
    if not bool(((stamp.mask >= 0) & (stamp.mask <= 1)).all()):
        raise Fault(f"{whose} returned a mask outside [0, 1]")
    x = stamp(origin.unflatten(0, (count, -1))).flatten(0, 1)
    if not torch.allclose(x, result.x, atol=STAMPED):
        raise Fault(f"{whose} returned x* that are not the targets with its trigger")


def numbers(values: object, n: int, whose: str, what: str = "images") -> Tensor:
    """Return scores or facts (n,), if they are valid, as float64 on the CPU.

    Raises:
        Fault: Wrong type or length, or NaN or infinity; the message names the component by `whose`
            and the objects with a value each by `what`.
    """
    if not isinstance(values, Tensor) or values.is_complex():
        kind = f"{values.dtype}" if isinstance(values, Tensor) else type(values).__name__
        raise Fault(f"{whose} returned {kind}; expected a tensor of real numbers")
    if values.shape != (n,):
        count = f"{_shape(values.shape)} numbers" if values.dim() else "a single number"
        raise Fault(f"{whose} returned {count} for {n} {what}")
    bad = int((~torch.isfinite(values.double())).sum())
    if bad:
        raise Fault(f"{whose} returned NaN or infinity for {bad} of {n} {what}")
    return values.detach().double().cpu()
