"""Check a model wherever it enters: finite weights of the right type, and finite logits."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from evil_twins.bench.components.precision import rounded
from evil_twins.bench.errors import Fault


def weights(
    values: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], whose: str
) -> dict[str, Tensor]:
    """Return weights in torch's default type, the very same tensors where they are in it.

    Args:
        values: The weights by name.
        shapes: The shape that each name must have.
        whose: The name of the model in messages.

    Raises:
        Fault: A name or a shape is another one, or a value is not finite in that type.
    """
    checked = {}
    for name, value in values.items():
        if name not in shapes:
            raise Fault(f"{whose} has {name!r}, which is no parameter of the network")
        if tuple(value.shape) != tuple(shapes[name]):
            shape, expected = tuple(value.shape), tuple(shapes[name])
            raise Fault(f"{whose} has {name} of shape {shape}; expected {expected}")
        if not value.is_floating_point():
            raise Fault(f"{whose} has {value.dtype} in {name}; expected floating-point numbers")
        checked[name] = rounded(value)
        if not bool(checked[name].isfinite().all()):
            raise Fault(f"{whose} has NaN or infinite values in {name}")
    return checked


def logits(z: Tensor, whose: str) -> Tensor:
    """Return the logits (..., K) of a model, if all are finite.

    Raises:
        Fault: Some are not; the message names the model by `whose`.
    """
    if not bool(z.isfinite().all()):
        sound = z.isfinite().all(-1)
        bad = int((~sound).sum())
        raise Fault(f"{whose} gives NaN or infinite logits for {bad} of {sound.numel()} images")
    return z
