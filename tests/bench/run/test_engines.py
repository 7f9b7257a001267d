"""Engines: the same bytes whatever runs the cells."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
from distributed import LocalCluster

from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.engine import Engine, cluster, local
from tests.bench import suites
from tests.bench.runs import carry_out, titles
from tests.bench.small_run import same
from tests.bench.suites import doubt, far, shift


def test_global_random_numbers_and_threads_stay_as_they_are(folder: Path) -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    carry_out(folder, shift(), doubt("other", scale=11.0))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_cell_has_the_threads_of_its_suite(tmp_path: Path, threads: int, jobs: int) -> None:
    head = suites.HEAD.replace("[victim]", f"threads_per_cell = {threads}\n[victim]")
    assert not carry_out(tmp_path, shift(), doubt(counts=True), head=head, jobs=jobs).state.failed
    scores = pd.read_parquet(tmp_path / "small" / "scores.parquet")["score"]
    assert set(scores) == {float(threads)}


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_an_executor_of_the_user_leaves_the_same_bytes(tmp_path: Path, guarded: bool) -> None:
    parts = [shift(), shift("both", poison=True), doubt(), far()]
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    carry_out(first, *parts)
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    assert not carry_out(second, *parts, engine=Engine(pool, 2, guarded)).state.failed
    assert same(first, second)


@pytest.mark.slow
def test_a_broken_executor_is_a_reason_for_what_it_did_not_take(tmp_path: Path) -> None:
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    bad = doubt("die", fault="die")
    done = carry_out(tmp_path, shift(), bad, doubt(), engine=Engine(pool, 1, guarded=False))
    assert done.state.failed
    causes = _causes(done).values()
    assert any("its worker was lost" in why for why in causes)
    assert all(why.startswith(("its worker was lost", "not run")) for why in causes)
    assert not carry_out(tmp_path, shift(), doubt()).state.failed


@pytest.mark.slow
def test_processes_leave_the_same_bytes(tmp_path: Path) -> None:
    parts = [shift(), shift("both", poison=True), doubt(), far()]
    first, second = tmp_path / "first", tmp_path / "second"
    for place, jobs in ((first, 1), (second, 2)):
        place.mkdir()
        carry_out(place, *parts, jobs=jobs)
    assert same(first, second)


def _causes(done: Finished) -> dict[str, str]:
    return {done.plan.cells[key].title: why for key, why in done.state.failed.items()}


@pytest.mark.slow
def test_a_cell_that_dies_or_hangs_fails_alone(folder: Path) -> None:
    rows, good = [shift(), shift("both", poison=True)], doubt("good", scale=9.0)
    bad = [doubt(fault, fault=fault) for fault in ("die", "hang", "kill")]
    done = carry_out(folder, *rows, *bad, good, engine=local(2, limit=5))
    said = {"die": "exit status 7", "hang": "took longer than 5 s", "kill": "lack of memory"}
    causes = _causes(done)
    cells = [(fault, f"{fault} × shift", f"{fault} × both") for fault in said]
    assert set(causes) == {title for titles in cells for title in titles}
    assert all(said[title.split(" ")[0]] in why for title, why in causes.items())
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    assert set(scores["attack"]) == {"shift", "both"}
    assert set(scores["detector"]) == {"good"}
    logs = pd.read_parquet(folder / "small" / "failures.parquet")["log"]
    assert all((folder / "small" / log).read_text() for log in logs)
    again = carry_out(folder, *rows, doubt("die", fault="die"), good, engine=local(1, limit=60))
    ran = titles(again.plan, again.state.ran)
    assert ran == ["benign die", "score die × both", "score die × shift"]


@pytest.mark.slow
def test_a_cluster_leaves_the_same_bytes_though_a_worker_dies(tmp_path: Path) -> None:
    parts = [*(shift(f"a{i}", amount=i / 20, poison=i % 2 == 1) for i in range(6)), doubt(), far()]
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    carry_out(first, *parts)
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as workers:
        victim = next(iter(workers.workers.values()))

        def kill_worker() -> None:
            while not list((second / "small" / "cells").glob("attack/*/cell.json")):
                time.sleep(0.05)
            os.kill(victim.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_worker)
        killer.start()
        done = carry_out(second, *parts, engine=cluster(workers.scheduler_address))
        killer.join()
    assert not _causes(done)
    assert same(first, second)
