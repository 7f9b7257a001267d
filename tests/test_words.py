"""Names say what they hold, and files and functions stay short."""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("api", "attacks", "bench", "detectors")
FILES = [path for room in (*PRODUCT, "tests") for path in sorted((ROOT / room).rglob("*.py"))]
FILE_LINES = 250
FUNCTION_LINES = 40
REFUSED = {
    *("found", "one", "own", "some", "given", "known", "made", "told", "mine", "there", "left"),
    *("seen", "asked", "halves", "plain", "beside", "alone", "reach", "lot", "lots"),
}
"""Pronouns and participles, which name no thing."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _bound(node: ast.AST) -> str | None:
    """Return the name that a node binds, or None."""
    if isinstance(node, Function | ast.ClassDef | ast.ExceptHandler):
        return node.name
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    if isinstance(node, ast.Attribute):
        return node.attr if isinstance(node.ctx, ast.Store) else None
    if isinstance(node, ast.alias):
        return node.asname
    return node.arg if isinstance(node, ast.arg) else None


@functools.cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text())))


def refused_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield line and name of each name that is a pronoun or a participle."""
    for node in nodes:
        name = _bound(node)
        if name and name.strip("_").lower() in REFUSED:
            yield f"{getattr(node, 'lineno', '?')}: {name}"


def _lines(function: Function) -> int:
    """Count the lines of a function without its docstring."""
    first = function.body[0]
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _functions(path: Path) -> list[Function]:
    return [node for node in _nodes(path) if isinstance(node, Function)]


@pytest.mark.parametrize(
    "code",
    [
        "def found(): ...",
        "class Lot: ...",
        "def f(own): ...",
        "_made, n = 1, 2",
        "self.left = 1",
        "[one for one in x]",
        "import numpy as some",
    ],
)
def test_pronouns_and_participles_are_refused(code: str) -> None:
    assert list(refused_names(ast.walk(ast.parse(code))))


def test_names_of_things_pass_and_so_do_names_of_other_packages() -> None:
    code = "import other.own\nrows = found(given=1)\ndef lost(x): ..."
    assert not list(refused_names(ast.walk(ast.parse(code))))


def test_every_name_names_a_thing() -> None:
    refused = [
        f"{path.relative_to(ROOT)}:{line}" for path in FILES for line in refused_names(_nodes(path))
    ]
    advice = 'Say what it holds (rows, scores, kept_ids): "Words" in CONTRIBUTING.md.'
    assert not refused, "\n".join([advice, *refused])


def test_files_and_functions_are_short() -> None:
    long = [
        str(path.relative_to(ROOT))
        for path in FILES
        if len(path.read_text().splitlines()) > FILE_LINES
    ]
    long += [
        f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}"
        for path in FILES
        for function in _functions(path)
        if _lines(function) > FUNCTION_LINES
    ]
    assert not long, "\n".join([f"Over {FILE_LINES} or {FUNCTION_LINES} lines: split.", *long])


def test_arguments_are_passed_on_by_name() -> None:
    """Only a function that forwards a whole call has `*args, **kwargs`."""
    passing = [
        f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}"
        for path in FILES
        if path.relative_to(ROOT).parts[0] in PRODUCT
        for function in _functions(path)
        if function.args.kwarg and not function.args.vararg
    ]
    assert not passing, "\n".join(["Name the arguments instead of **kwargs.", *passing])
