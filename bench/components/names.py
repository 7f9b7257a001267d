"""What names attacks and detectors have: the project's own, and those of installed packages."""

import ast
import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from evil_twins.attacks import ATTACKS
from evil_twins.bench.errors import UserError
from evil_twins.detectors import DETECTORS

OWN: Mapping[str, Mapping[str, str]] = {
    "attack": {**ATTACKS, "apgd": "evil_twins.bench.components.adapters.art:APGD"},
    "detector": DETECTORS,
}
GROUPS = {"attack": "evil_twins.attacks", "detector": "evil_twins.detectors"}
"""Entry points by which an installed package offers its own."""

CALL = re.compile(r"([\w.-]+|.*?:\w+)(\(.*\))", re.DOTALL)
"""A name of the list, or a place and a name in it; and brackets."""
UNCLOSED = re.compile(r"([\w.-]+|.*?:\w+)\([^)]*", re.DOTALL)


def registry(kind: str) -> dict[str, str]:
    """Every name of a kind -> "module:Name"; the project's own stand before those of others.

    Args:
        kind: "attack" or "detector".
    """
    points = entry_points(group=GROUPS[kind])
    others = {point.name: f"{point.module}:{point.attr}" for point in points}
    return {**OWN[kind], **{k: v for k, v in sorted(others.items()) if k not in OWN[kind]}}


def parted(method: str) -> tuple[str, dict[str, Any]]:
    """A name and the parameters in its brackets: "a.py:B(k=5)" is "a.py:B" and {"k": 5}.

    Raises:
        UserError: What stands in brackets are not parameters by name, each a literal.
    """
    found = CALL.fullmatch(method)
    if found is None:
        if unclosed := UNCLOSED.fullmatch(method):
            raise _unreadable(method, unclosed[1])
        return method, {}
    try:
        call = ast.parse(f"_{found[2]}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("not by name")
        given = {str(one.arg or ""): ast.literal_eval(one.value) for one in call.keywords}
        if "" in given or len(given) < len(call.keywords):
            raise ValueError("not by name, or twice")
    except (SyntaxError, ValueError, TypeError) as error:
        raise _unreadable(method, found[1]) from error
    return found[1], given


def _unreadable(method: str, name: str) -> UserError:
    return UserError(
        f"cannot read the parameters of {method!r}\n"
        "expected: each by name, a number, a text or a list of them, such as "
        f"{name}(k=5, name='a')"
    )
