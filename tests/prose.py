"""Read the prose of the project: docstrings, comments, messages and documents."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

_QUOTED = re.compile(r'^```.*?^```|`[^`]*`|\]\([^)]*\)|"[^"\n]*"', re.M | re.S)
"""Code, the targets of links, and quotations: not the words of the text itself."""

_PARAGRAPH = re.compile(r"\n\s*\n|\||^#+ |^\s*[-*] ", re.M)
"""The start of a paragraph, a cell of a table, a heading or an item of a list."""


def of_text(text: str) -> Iterator[str]:
    """Yield the paragraphs of a document or a message, each as a line."""
    for paragraph in _PARAGRAPH.split(_QUOTED.sub("…", text)):
        if line := " ".join(paragraph.split()):
            yield line


def of_python(source: str) -> Iterator[str]:
    """Yield the docstrings, the other texts with a space, and the blocks of comments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from of_text(node.value)
    blocks: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row = token.start[0]
            blocks[row] = f"{blocks.pop(row - 1, '')} {token.string.lstrip('# ')}"
    for block in blocks.values():
        yield from of_text(block)


def of_toml(source: str) -> Iterator[str]:
    """Yield the titles and descriptions, and the blocks of comments."""
    for text in re.findall(r'^(?:title|description|statistic) = "(.*)"$', source, re.M):
        yield from of_text(text)
    for block in re.findall(r"(?:#.*\n\s*)+", source):
        yield from of_text(block.replace("#", " "))


READERS = {".py": of_python, ".toml": of_toml, ".md": of_text, ".html": of_text}
"""Ending of a file -> reader of its prose."""
