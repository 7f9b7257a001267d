"""Values of the parameters without a default, for attacks that are only named."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

DEFAULTS: Mapping[str, Any] = {
    "kappa": 0.75,
    "phi": 0.5,
    "distance": 0.5,
    "move": "gradient",
    "norm": "linf",
    "input": {},
    "model": {"layers": "head"},
    "trigger": {},
}


def filled(cls: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Add the `DEFAULTS` of the fields without a default; without parameters, of None as well.

    A default κ of None stays: it says that the attack aims at none.

    Args:
        cls: The dataclass of an attack or a detector.
        parameters: Values of other fields, which stay.
    """
    absent = (MISSING,) if parameters else (MISSING, None)
    empty = {
        field.name
        for field in (fields(cls) if is_dataclass(cls) else ())
        if field.default in absent and field.default_factory is MISSING
        if field.default is MISSING or field.name != "kappa"
    }
    return {name: value for name, value in DEFAULTS.items() if name in empty} | dict(parameters)
