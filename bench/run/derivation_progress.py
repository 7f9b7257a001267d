"""Progress of tables and figures on a terminal, without what computes cells."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from evil_twins.bench.analysis.steps import Watch, unwatched

PATIENCE = 1.0
"""Seconds from which on tables and figures have a bar."""


def watching(console: Console | None) -> Watch:
    """Return what shows a bar with the time left on a terminal, if tables or figures take long."""
    if console is None or not console.is_terminal:
        return unwatched

    @contextmanager
    def watch(words: str, count: int) -> Iterator[Callable[[], None]]:
        ends = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
        columns = TextColumn("{task.description}"), BarColumn(), *ends
        with _Late(*columns, console=console, transient=True) as bar:
            yield partial(bar.advance, bar.add_task(words, total=count))

    return watch


class _Late(Progress):
    """A bar that appears when its work has taken `PATIENCE` seconds."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the bar, or nothing."""
        late = any((task.elapsed or 0) > PATIENCE for task in self.tasks)
        return super().get_renderables() if late else ()
