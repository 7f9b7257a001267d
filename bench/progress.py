"""How far a run is, on standard error: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.run import Report

PATIENCE = 2.0
"""Seconds of silence before a bar."""

EVERY = 15.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def reporter(console: Console) -> Iterator[Report]:
    """Gives what a run tells its progress to."""
    with Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[title]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("cells", total=None, title="", visible=False)
        start = last = time.monotonic()

        def report(done: int, total: int, title: str) -> None:
            nonlocal last
            now = time.monotonic()
            bar.update(
                task,
                completed=done,
                total=total,
                title=title[:40],
                visible=now - start > PATIENCE or done < total,
            )
            if not console.is_terminal and now - last > EVERY and done < total:
                console.print(f"{done} of {total} cells", highlight=False)
                last = now

        yield report
