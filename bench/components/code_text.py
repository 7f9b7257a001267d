"""The text of a source file without the words that decide nothing."""

import ast
import io
import tokenize
from collections.abc import Iterator
from typing import Any


def without_words(text: str, tree: ast.Module) -> list[str]:
    """Return the lines of a file without docstrings, comments, messages and blank lines.

    Spans of the text are cut out, so that every version of Python returns the same.
    """
    words, inner, data = dict[int, Any](), set[int](), set[int]()
    for node in ast.walk(tree):  # parents before children
        match node:
            case (
                ast.Raise(exc=ast.Call(args=arguments))
                | ast.Return(value=ast.Call(func=ast.Name("UserError"), args=arguments))
            ) if _hold_text(arguments):  # a message decides no content
                words |= {id(argument): argument for argument in arguments}
                if _is_user_error(node):
                    words |= {id(node): _together(arguments, text)}
                inner |= {id(part) for argument in arguments for part in ast.walk(argument)}
            case ast.Expr(value=ast.Constant(value=str())):
                words[id(node.value)] = node
            case ast.Constant() | ast.JoinedStr() if (
                id(node) not in inner and id(node) not in words
            ):
                if (node.end_lineno or 0) > node.lineno:
                    data.update(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = text.split("\n")
    spans = [span for node in words.values() for span in _spans(node, lines)]
    if "#" in text:
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        spans += [(*t.start, t.end[1]) for t in tokens if t.type == tokenize.COMMENT]
    for row, start, end in _outermost(spans):
        lines[row - 1] = lines[row - 1][:start] + lines[row - 1][end:]
    # Lines of a string that is data stay as they are.
    stripped = [line if i in data else line.rstrip() for i, line in enumerate(lines, 1)]
    return [line for i, line in enumerate(stripped, 1) if line or i in data]


def _hold_text(arguments: list[ast.expr]) -> bool:
    """Check whether a string is among the arguments of an error, which may also carry data."""
    return any(
        isinstance(part, ast.JoinedStr)
        or (isinstance(part, ast.Constant) and isinstance(part.value, str))
        for argument in arguments
        for part in ast.walk(argument)
    )


def _is_user_error(node: ast.AST) -> bool:
    """Check whether a statement raises or returns a `UserError`, whose arguments are its lines."""
    call = node.exc if isinstance(node, ast.Raise) else getattr(node, "value", None)
    return isinstance(call, ast.Call) and ast.unparse(call.func) in ("UserError", "Unsafe")


def _together(arguments: list[ast.expr], text: str) -> ast.expr:
    """Return a node from the first to the last argument, with the comma that ends the last line."""
    first, last = arguments[0], arguments[-1]
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    line = text.split("\n")[last.end_lineno - 1].encode()
    comma = line[last.end_col_offset : last.end_col_offset + 1] == b","
    return ast.Constant(
        "",
        lineno=first.lineno,
        col_offset=first.col_offset,
        end_lineno=last.end_lineno,
        end_col_offset=last.end_col_offset + comma,
    )


def _outermost(spans: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the spans that do not lie within another, from the end of the text to its start."""
    kept: list[tuple[int, int, int]] = []
    for row, start, end in sorted(set(spans), key=lambda span: (span[0], span[1], -span[2])):
        if not (kept and kept[-1][0] == row and end <= kept[-1][2]):
            kept.append((row, start, end))
    return kept[::-1]


def _spans(node: Any, lines: list[str]) -> Iterator[tuple[int, int, int]]:
    """Yield line, first and last column of a node; those of ast count bytes of UTF-8."""
    for row in range(node.lineno, node.end_lineno + 1):
        line = lines[row - 1]
        start = node.col_offset if row == node.lineno else 0
        end = node.end_col_offset if row == node.end_lineno else len(line.encode())
        yield row, len(line.encode()[:start].decode()), len(line.encode()[:end].decode())
