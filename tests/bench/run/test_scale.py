"""Costs of the harness itself, as ratios of times measured side by side."""

import gc
import json
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from evil_twins.bench.cells.execute import Place
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.run.assemble import Finished, assemble
from evil_twins.bench.run.engine import local
from evil_twins.bench.run.forecast import forecast
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.schedule import run, survey
from evil_twins.bench.store import records
from evil_twins.bench.store.cells import Store
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.suite import Suite
from tests.bench import suites
from tests.bench.runs import inline
from tests.bench.suites import HEAD, doubt, shift

pytestmark = pytest.mark.slow


def _suite(folder: Path, rows: int, columns: int, head: str = HEAD, **fields: object) -> Suite:
    attacks = [shift(f"a{i}", amount=i / 10_000, **fields) for i in range(rows)]
    detectors = [doubt(f"d{j}", scale=1.0 + j) for j in range(columns)]
    return suite.load(suites.write(folder, *attacks, *detectors, head=head))


def _plan(folder: Path, rows: int, columns: int, head: str = HEAD, **fields: object) -> Plan:
    return plan(
        _suite(folder, rows, columns, head, **fields), cached_dataset("digits", None, None), "cpu"
    )


def _run(cells: Plan, folder: Path, jobs: int, most: int | None = None) -> float:
    start = time.perf_counter()
    state = run(
        cells,
        Place(Store(folder / "cells"), None, {}),
        inline() if jobs == 1 else local(jobs),
        most=most,
    )
    assert not state.failed
    return time.perf_counter() - start


def test_planning_takes_ten_times_as_long_for_ten_times_as_many_cells(tmp_path: Path) -> None:
    def seconds(rows: int) -> float:
        start = time.perf_counter()
        cells = _plan(tmp_path, rows, 10)
        state = survey(cells, Store(tmp_path / "cells"))
        forecast(cells, state, tmp_path, 2)
        assert len(cells.cells) == 1 + 10 + 11 * rows
        return time.perf_counter() - start

    seconds(10)
    assert seconds(910) < 20 * seconds(91)


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path: Path) -> None:
    cells = _plan(tmp_path, 100, 4)
    held = list[int]()
    for _ in range(2):
        _run(cells, tmp_path, 1, most=250)
        gc.collect()
        held.append(psutil.Process().memory_info().rss)
    assert held[1] - held[0] < 250 * 2**15, "more than 32 KiB a cell stay"


def test_records_are_put_together_in_memory_that_does_not_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "GROUP", 100)
    _run(_plan(tmp_path, 160, 1), tmp_path, 1)
    store, data = Store(tmp_path / "cells"), cached_dataset("digits", None, None)
    whole, peaks, lines = pa.default_memory_pool(), list[int](), list[int]()
    for rows in (40, 160):
        small = _suite(tmp_path, rows, 1)
        cells = plan(small, data, "cpu")
        done = Finished(small, data, cells, survey(cells, store), store)
        pool = pa.proxy_memory_pool(whole)
        pa.set_memory_pool(pool)
        try:
            lines.append(sum(assemble(done, tmp_path / "records").values()))
        finally:
            pa.set_memory_pool(whole)
        peaks.append(pool.max_memory())
    # Only the index of the files stays; a line that is held takes over 100 bytes.
    assert peaks[1] - peaks[0] < 20 * (lines[1] - lines[0])


def test_the_harness_adds_little_to_the_time_of_the_cells(tmp_path: Path) -> None:
    cells = _plan(tmp_path, 30, 1, seconds=0.5)
    _run(cells, tmp_path, 1, most=1)
    whole = _run(cells, tmp_path, 1)
    kinds = ("attack", "benign", "score")
    sidecars = [p for kind in kinds for p in tmp_path.glob(f"cells/{kind}/*/provenance.json")]
    computing = sum(json.loads(path.read_text())["seconds"] for path in sidecars)
    assert whole < 1.05 * computing


def test_two_jobs_take_little_more_than_half_the_time(tmp_path: Path) -> None:
    cells = _plan(tmp_path, 40, 1, seconds=2.0)
    times = {}
    for jobs in (1, 2):
        _run(cells, tmp_path / str(jobs), 1, most=1)  # the victim, for which all others wait
        times[jobs] = _run(cells, tmp_path / str(jobs), jobs)
    assert times[1] / times[2] > 1.7
