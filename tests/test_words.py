"""Names and prose use plain words, and files and functions stay short."""

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.prose import READERS

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

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(path for end in ("toml", "html") for path in sorted((ROOT / "bench").rglob(f"*.{end}"))),
]
_START = r"(?:^|[.:;·] )"
PRIVATE = {
    r"\bbeside\b": "compared with, next to, in addition to",
    r"\balone\b": "only",
    r"\blots?\b": "many, a group",
    r"\bprices?\b(?![.'])": "cost, loss, weight, time",
    r"\b(?:stands?|stood|standing)\b": "is, means, is listed",
    r"\b(?:left|leaves?|leaving) out\b": "skip, omit",
    r"\b(?:[Tt]ells?|told)\b": "shows, states, checks",
    r"\bmend(?:s|ed|ing)?\b": "fix",
    r"\bone's own\b": "your, its",
    r"\b(?:within|in|out of) reach\b": "a distance",
    _START + r"[Ww]hat (?!about)[^?]*$": "a noun as the subject, not a clause with what",
    _START + r"[A-Z][a-z]+ed (?:is|are)\b": "the subject first",
}
"""Pattern of a private word or an inverted sentence -> the words in its place."""

EXCEPTIONS = {
    "The price of evasion": "the name of a table and a figure",
}
"""Text that keeps a refused word -> the reason."""

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


@functools.cache
def _prose() -> list[tuple[Path, str]]:
    """Return the prose of every file but this one, line by line."""
    files = [path for path in (*FILES, *DOCUMENTS) if path != Path(__file__)]
    return [(path, line) for path in files for line in READERS[path.suffix](path.read_text())]


def private_words(lines: Iterable[str]) -> Iterator[str]:
    """Yield each line with a private word or an inverted sentence, and the words in its place."""
    for line in lines:
        rest = functools.reduce(lambda text, exempt: text.replace(exempt, ""), EXCEPTIONS, line)
        for pattern, words in PRIVATE.items():
            if match := re.search(pattern, rest):
                yield f"{rest[max(0, match.start() - 40) : match.end() + 40]!r}: {words}"


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


@pytest.mark.parametrize(
    "text",
    [
        "a detector beside the others",
        "by the model\nalone",
        "a lot of images",
        "the price of a step",
        "a name stands for a class",
        "rows are left\nout",
        "Tell whether it ran. It tells nothing",
        "a file to be mended",
        "a model of one's own",
        "a loss within reach",
        "What a run leaves.",
        "The score. Flagged is an input above it.",
    ],
)
def test_private_words_are_refused(text: str) -> None:
    assert list(private_words(READERS[".md"](text)))


def test_code_links_quotations_and_questions_pass() -> None:
    text = (
        'See `beside`, [a cost](price.md), "alone".\n```\nleft out\n```\nWhat is a cell? It stays.'
    )
    assert not list(private_words(READERS[".md"](text)))


def test_docstrings_comments_messages_and_documents_use_plain_words() -> None:
    refused = [
        f"{path.relative_to(ROOT)}: {excerpt}"
        for path, line in _prose()
        for excerpt in private_words([line])
    ]
    assert not refused, "\n".join(['"Words" in CONTRIBUTING.md.', *refused])


def test_every_exception_is_needed() -> None:
    prose = "\n".join(line for _, line in _prose())
    assert [text for text in EXCEPTIONS if text not in prose] == []
