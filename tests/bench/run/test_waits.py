"""A run that waits says what it waits for."""

import fcntl
import io
import time
from pathlib import Path
from threading import Timer

import pytest
from rich.console import Console

from evil_twins.bench.run import engine
from evil_twins.bench.run.conclude import exclusive
from evil_twins.bench.run.engine import Cluster
from evil_twins.bench.run.progress import progress
from evil_twins.bench.store.cells import Store
from tests.bench.runs import Inline, carry_out, planned
from tests.bench.suites import doubt, shift


def test_a_run_says_that_another_one_writes_in_its_folder(tmp_path: Path) -> None:
    store, stream = Store(tmp_path / "small" / "cells"), io.StringIO()
    with exclusive(store, Console(file=stream, width=300)):
        pass
    assert not stream.getvalue()
    other = (store.root / ".lock").open("a")
    fcntl.flock(other, fcntl.LOCK_EX)
    Timer(0.3, other.close).start()
    with exclusive(store, Console(file=stream, width=300)):
        assert stream.getvalue() == f"waiting: another run writes in {tmp_path / 'small'}\n"


class _Client:
    """A Dask client whose scheduler has these workers, or does not answer."""

    def __init__(self, workers: dict[str, int] | None) -> None:
        self.workers = workers

    def nthreads(self) -> dict[str, int]:
        if self.workers is None:
            raise OSError("timed out")
        return self.workers

    def close(self) -> None:
        """Close nothing."""


LOST = {
    "the Dask cluster has no workers": _Client({}),
    "the Dask scheduler does not answer": _Client(None),
}


@pytest.mark.parametrize("missing", LOST)
@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_says_that_its_cluster_is_lost(tmp_path: Path, missing: str, terminal: bool) -> None:
    stream, cells = io.StringIO(), planned(tmp_path, shift(), doubt())
    console = Console(file=stream, force_terminal=terminal, width=200)
    cluster = Cluster(Inline(), 1, client=LOST[missing])
    with progress(console, cells, {}) as observer:
        observer.waiting(cluster.waits_for())
        observer.waiting(cluster.waits_for())
        time.sleep(0.3)  # bars are drawn four times a second
    assert f"waiting: {missing}" in stream.getvalue()
    assert terminal or stream.getvalue().count("waiting") == 1


def test_a_cluster_is_looked_at_while_cells_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOOK_SECONDS", 0.0)
    client = _Client({"a": 1})
    looks = list[dict[str, int]]()
    monkeypatch.setattr(client, "nthreads", lambda: looks.append({}) or {"a": 1})
    cluster = Cluster(Inline(), 1, guarded=False, client=client)
    assert not carry_out(folder, shift(), doubt(), engine=cluster).state.failed
    assert looks
