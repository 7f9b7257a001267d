"""Names of attacks and detectors: those of the project and those of installed packages."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from evil_twins.attacks import ATTACKS
from evil_twins.bench.errors import UserError
from evil_twins.detectors import DETECTORS

OURS: Mapping[str, Mapping[str, str]] = {
    "attack": {**ATTACKS, "apgd": "evil_twins.bench.components.adapters.art:APGD"},
    "detector": DETECTORS,
}
GROUPS = {"attack": "evil_twins.attacks", "detector": "evil_twins.detectors"}
"""Entry points of installed packages."""

CALL = re.compile(r"([\w.-]+|.*?:\w+)(\(.*\))", re.DOTALL)
"""Pattern of a name, or of a file or module and a name in it; then brackets."""
UNCLOSED = re.compile(r"([\w.-]+|.*?:\w+)\([^)]*", re.DOTALL)


@cache
def registry(kind: str) -> Mapping[str, str]:
    """Return every name of a kind -> "module:Name"; names of the project win over others."""
    points = entry_points(group=GROUPS[kind])
    foreign = {point.name: f"{point.module}:{point.attr}" for point in points}
    return {**OURS[kind], **dict(sorted(foreign.items())), **OURS[kind]}


def split_call(method: str) -> tuple[str, dict[str, Any]]:
    """Return a name and the parameters in its brackets: "a.py:B(k=5)" is "a.py:B" and {"k": 5}.

    Raises:
        UserError: The brackets hold something else than parameters by name, each a literal.
    """
    match = CALL.fullmatch(method)
    if match is None:
        if unclosed := UNCLOSED.fullmatch(method):
            raise _unreadable(method, unclosed[1])
        return method, {}
    try:
        call = ast.parse(f"_{match[2]}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("not by name")
        values = {str(word.arg or ""): ast.literal_eval(word.value) for word in call.keywords}
        if "" in values or len(values) < len(call.keywords):
            raise ValueError("not by name, or twice")
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise _unreadable(method[:200], match[1][:100]) from error
    return match[1], values


def _unreadable(method: str, name: str) -> UserError:
    return UserError(
        f"cannot read the parameters of {method!r}",
        "expected: each by name, a number, a text or a list of them, such as "
        f"{name}(k=5, name='a')",
    )
