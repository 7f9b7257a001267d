"""Markdown, LaTeX and HTML of a table for a paper."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from evil_twins.bench.analysis.tables import text

_OPTIONS = ("[", "*")
"""First characters of a cell that the line break before it takes for its options."""
_SYMBOLS = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"κ": r"$\kappa$", "φ": r"$\varphi$", "λ": r"$\lambda$"}
)


@dataclass(frozen=True)
class Form:
    """A form of a table.

    Attributes:
        write: Writes a table from its title, its head and its body. The head and the first cell
            of a line are names, which it escapes; all other cells are in the form already.
        cell: Writes a text as a cell.
        bold: Writes a number in bold, by `format`.
    """

    write: Callable[[str, Sequence[str], Sequence[Sequence[str]]], str]
    cell: Callable[[str], str]
    bold: str


def markdown(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    return f"{title}\n\n{text.markdown(head, body)}"


def latex(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Write a table in LaTeX, for the package booktabs."""
    names = [latex_cell(name) for name in head]
    cells = [[latex_cell(name), *rest] for name, *rest in body]
    style = pd.DataFrame(cells, columns=pd.Index(names)).style.hide(axis="index")
    table = style.to_latex(hrules=True, column_format=f"l{'r' * (len(head) - 1)}")
    return f"% needs \\usepackage{{booktabs}}\n% {title}\n{table}"


def latex_cell(name: object) -> str:
    """Escape a text for LaTeX."""
    label = str(name).translate(_SYMBOLS)
    return f"{{}}{label}" if label.lstrip().startswith(_OPTIONS) else label


def html(title: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Write a table in HTML."""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>\n"
        for name, *cells in body
    ]
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>\n{caption}\n<tr>{heads}</tr>\n{''.join(lines)}</table>\n"


FORMS = {
    "md": Form(markdown, str, "**{}**"),
    "latex": Form(latex, latex_cell, r"\textbf{{{}}}"),
    "html": Form(html, escape, "<b>{}</b>"),
}
