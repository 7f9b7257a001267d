"""Names as they may leave the program: on a terminal, in a log, a table, a figure or a page.

A name is any text that somebody else may have written: of a suite, a file, a record, an exception.
"""

import io
import re
import sys
import unicodedata

FORMULAS = ("=", "+", "-", "@")
"""First characters of a cell that a spreadsheet takes for a formula."""

FILE_NAME_BYTES = 100


def name(text: object) -> str:
    """Escape every character of a name that is not printable, line breaks too.

    The result controls no terminal, hides nothing, changes no direction, and is valid UTF-8.
    """
    text = str(text)
    return text if text.isprintable() else "".join(map(_escaped, text))


def lines(text: object) -> str:
    """Escape a text of several lines as `name` does, except for the line breaks."""
    return "\n".join(map(name, str(text).split("\n")))


def _escaped(character: str) -> str:
    """Escape one character; spaces of every width are printable."""
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return ascii(character)[1:-1]


def csv_cell(text: object) -> str:
    """Write a name for a CSV file; no spreadsheet takes it for a formula."""
    escaped = name(text)
    # A single sign is a value of the tables, and no formula.
    return f"'{escaped}" if escaped.startswith(FORMULAS) and len(escaped) > 1 else escaped


def file_name(text: str) -> str:
    """Write a name as a part of a file name; it leads to no other folder."""
    safe = re.sub(r"[^\w.=,()-]+", "_", text).lstrip(".")
    return safe.encode()[:FILE_NAME_BYTES].decode(errors="ignore")


def say(line: object) -> None:
    """Print one line on standard output, at once."""
    print(name(line), flush=True)


def complain(text: object) -> None:
    """Print a text of several lines on standard error."""
    print(lines(text), file=sys.stderr)


def degrade() -> None:
    """Let standard output escape the characters that its encoding lacks, as standard error does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
