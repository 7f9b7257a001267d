"""Standard output and standard error, for people: the only place that makes a console."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from evil_twins.bench import printable

WIDTH = 160
"""Width of output that goes to no terminal, enough for every column of a table."""


class Screen(Console):
    """A console that shows names as they are: brackets are no markup, and no character controls."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the parts of a renderable, with what would control the terminal escaped."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable.lines(segment.text), segment.style)


def screen() -> Screen:
    """Return standard output."""
    console = Screen()
    return console if console.is_terminal else Screen(width=WIDTH)


def errors() -> Screen:
    """Return standard error."""
    return Screen(stderr=True)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print each text on one line, not wrapped."""
    for line in lines:
        console.print(printable.name(line), soft_wrap=True)
