"""Standard output and standard error, for people: the only place that makes a console."""

import os
from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markdown import Markdown
from rich.segment import Segment

from evil_twins.bench import printable


class Screen(Console):
    """A console that shows names as they are: brackets are no markup, and no character controls.

    With NO_COLOR in the environment it is no terminal: it prints no escape code and no bar. In a
    file or a pipe no line ends in spaces.

    Attributes:
        verbose: Whether it also shows what is skipped, and where files are.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        width: int | None = None,
        quiet: bool = False,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            stderr=stderr,
            width=width,
            quiet=quiet,
            markup=False,
            emoji=False,
            highlight=False,
            force_terminal=False if os.environ.get("NO_COLOR") else None,
        )
        self.verbose = verbose and not quiet

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Return the parts of a renderable, with what would control the terminal escaped."""
        segments = super().render(renderable, options)
        return map(_escaped, segments if self.is_terminal else _unpadded(segments))


def _escaped(segment: Segment) -> Segment:
    if segment.control or segment.text.isprintable():
        return segment
    return Segment(printable.lines(segment.text), segment.style)


def _unpadded(segments: Iterable[Segment]) -> Iterator[Segment]:
    """Drop the spaces at the end of each line."""
    spaces: list[Segment] = []
    for text, style, control in segments:
        for part in [text] if control else text.splitlines(keepends=True):
            words = part if control else part.rstrip(" \n")
            if words:
                yield from spaces
                yield Segment(words, style, control)
            if part.endswith("\n"):
                yield Segment.line()
            if words or part.endswith("\n"):
                spaces.clear()
            if rest := part[len(words) :].rstrip("\n"):
                spaces.append(Segment(rest, style))
    yield from spaces


def screen() -> Screen:
    """Return standard output; in a file or a pipe lines have any length, unless COLUMNS is set."""
    console = Screen()
    bounded = console.is_terminal or console.file.isatty() or os.environ.get("COLUMNS")
    return console if bounded else Screen(width=printable.WIDEST)


def errors(*, quiet: bool = False, verbose: bool = False) -> Screen:
    """Return standard error."""
    return Screen(stderr=True, quiet=quiet, verbose=verbose)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print each text on one line, not wrapped."""
    for line in lines:
        console.print(printable.name(line), soft_wrap=True)


def print_details(console: Console | None, lines: Iterable[str]) -> None:
    """Print each text on one line if the console is verbose."""
    if isinstance(console, Screen) and console.verbose:
        print_lines(console, lines)


def document(text: str, console: Console) -> RenderableType:
    """Return a text in Markdown, set for a terminal, or as it is for a file or a pipe."""
    return Markdown(text, hyperlinks=False) if console.width < printable.WIDEST else text
