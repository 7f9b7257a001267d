"""Names as they may leave the program: on a terminal, in a log, a table, a figure or a page.

A name is any text that somebody else may have written: of a suite, a file, a record, an exception.
"""

import codecs
import io
import re
import sys
import unicodedata

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

ASCII = {
    **{"κ": "kappa", "φ": "phi", "λ": "lambda", "ε": "epsilon", "δ": "delta"},
    **{"×": "x", "·": "-", "–": "-", "…": "...", "\N{NO-BREAK SPACE}": " "},
}
"""Substitutes of characters that the program itself prints."""

FORMULAS = tuple("=+-@＝＋－＠")
"""First characters of a cell that a spreadsheet takes for a formula."""

FILE_NAME_BYTES = 100

NARROW, WIDEST = 80, 10_000
"""Least width of a table with columns that wrap, and largest width of any table."""


def name(text: object) -> str:
    """Escape every character of a name that is not printable, line breaks too.

    The result controls no terminal, hides nothing, changes no direction, and is valid UTF-8.
    """
    text = str(text)
    return text if text.isprintable() else "".join(map(_escaped, text))


def cells(*texts: object) -> list[Text]:
    """Escape the cells of a row of a table: no line break splits it, and brackets are no markup."""
    return [Text(name(text)) for text in texts]


class Whole(Table):
    """A table of which no cell is cut: a terminal that is too narrow breaks its lines.

    Columns that wrap do so at the width of the terminal, but not below `NARROW`.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = Measurement.get(console, options.update(width=WIDEST), self).maximum
        if not all(column.no_wrap for column in self.columns):
            least = min(least, NARROW)
        return super().__rich_console__(
            console, options.update(width=max(least, options.max_width))
        )


def lines(text: object) -> str:
    """Escape a text of several lines as `name` does, except for the line breaks."""
    return "\n".join(map(name, str(text).split("\n")))


def _escaped(character: str) -> str:
    """Escape one character; spaces of every width are printable."""
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return ascii(character)[1:-1]


def csv_cell(text: object) -> str:
    """Write a name for a CSV file; no spreadsheet takes it, or a part of it, for a formula."""
    escaped = name(text)
    if len(escaped) == 1:  # a single sign is a value of the tables, and no formula
        return escaped
    # Where numbers have a decimal comma, spreadsheets divide lines at semicolons.
    return ";".join(f"'{part}" if _formula(part) else part for part in escaped.split(";"))


def of_csv_cell(cell: str) -> str:
    """Return the name in a cell of a CSV file."""
    parts = cell.split(";")
    return ";".join(part[1:] if part[:1] == "'" and _formula(part) else part for part in parts)


def _formula(part: str) -> bool:
    return part.lstrip("'\" ").startswith(FORMULAS)


def file_name(text: str) -> str:
    """Write a name as a part of a file name: letters, digits, dot, hyphen, underscore.

    It leads to no other folder, and a shell needs no quotes for it.
    """
    safe = re.sub(r"[^\w.-]+", "_", text).lstrip("._-").rstrip("_")
    return safe.encode()[:FILE_NAME_BYTES].decode(errors="ignore")


def say(line: object) -> None:
    """Print one line on standard output, at once."""
    print(name(line), flush=True)


def complain(*lines: object) -> None:
    """Print lines on standard error, if there is one."""
    if sys.stderr is not None:  # else they would go to standard output
        print("\n".join(map(name, lines)), file=sys.stderr)


def degrade() -> None:
    """Let standard output and error replace the characters that their encoding lacks."""
    codecs.register_error("degrade", _degraded)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="degrade")


def _degraded(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(ASCII.get(c) or ascii(c)[1:-1] for c in characters), error.end
