"""Standard output and standard error, for people."""

from collections.abc import Iterable

from rich.console import Console

WIDTH = 160
"""Width of output that goes to no terminal, enough for every column of a table."""


def screen() -> Console:
    """Return standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are: neither wrapped nor marked up."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
