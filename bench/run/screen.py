"""Standard output."""

from rich.console import Console

WIDE = 160


def screen() -> Console:
    """Standard output; where it is no terminal, wide enough for every column of a table."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)
