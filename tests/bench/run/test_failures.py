"""Failures: the cells that a fault, a damaged file or an interrupt stops, and no others."""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from evil_twins.bench.cells.execute import Outcome, Place, execute
from evil_twins.bench.cells.score import benign_lineup, lineup
from evil_twins.bench.cells.stored import cached_victim
from evil_twins.bench.run.course import job_of
from evil_twins.bench.run.engine import Engine
from evil_twins.bench.run.progress import Lines
from evil_twins.bench.run.schedule import recorded, run
from evil_twins.bench.run.state import State
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import fingerprint
from tests.bench import suites
from tests.bench.runs import carry_out, inline, planned, titles
from tests.bench.suites import doubt, far, shift, table


def test_a_parent_that_changes_during_the_run_is_not_used(copy: Path) -> None:
    done = carry_out(copy, shift(), doubt())
    job = job_of(done.plan, done.state, done.plan.shards[0].scores["doubt"])
    other = {role: (*parent[:2], "another") for role, parent in job.parents.items()}
    outcome = execute(Place(done.store, None, {}), replace(job, parents=other))
    assert outcome.content is None
    assert "has changed during the run; run again" in outcome.reason


def test_models_that_cannot_be_made_again_stop_what_needs_them(trained: Path) -> None:
    parts = [shift("both", poison=True), doubt()]
    done = carry_out(trained, *parts, drop=True)
    cell = done.store.path("attack", done.state.identity[done.plan.shards[0].attack])
    facts = json.loads((cell / "cell.json").read_text())
    facts["files"]["models.safetensors"][1] = "0" * 64
    content = {name: digest for name, (_, digest, _) in facts["files"].items()}
    (cell / "cell.json").write_text(json.dumps(facts | {"content": fingerprint(content)}))
    assert not carry_out(trained, *parts, doubt("old", scale=3.0), most=0).state.failed
    failed = carry_out(trained, *parts, doubt("new", scale=3.0)).state.failed
    assert any(
        "the new ones made here differ from them; remedy: run again" in f for f in failed.values()
    )
    assert not carry_out(trained, *parts, doubt("new", scale=3.0)).state.failed


def test_what_a_detector_does_to_a_model_stays_with_it(folder: Path) -> None:
    rows = [shift(), shift("both", poison=True)]
    carry_out(folder, *rows, doubt(scale=5.0))
    good = pd.read_parquet(folder / "small" / "scores.parquet")
    carry_out(folder, *rows, doubt("a", fault="meddle"), doubt(scale=5.5))
    after = pd.read_parquet(folder / "small" / "scores.parquet").query("detector == 'doubt'")
    assert np.allclose(after["score"] / 5.5, good["score"] / 5.0)


def test_an_attack_or_a_detector_that_overwrites_its_input_harms_no_other(folder: Path) -> None:
    rows = [shift("a", fault="vandal"), shift("b", amount=0.2)]
    carry_out(folder, *rows, doubt("a", fault="scrawl"), doubt("b", scale=2.0))
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    targets = pd.read_parquet(folder / "small" / "targets.parquet")
    # The memory of a process between cells is read anew, or damage to it would be missed.
    cached_victim.cache_clear()
    lineup.cache_clear()
    benign_lineup.cache_clear()
    carry_out(folder, shift("b", amount=0.2), doubt("b", scale=2.5))
    single = pd.read_parquet(folder / "small" / "scores.parquet")
    both = scores.query("attack == 'b' and detector == 'b'")
    assert np.allclose(both["score"] / 2.0, single["score"] / 2.5)
    # Distances are measured from the x° of the data set, though the attack overwrites its copy.
    assert np.allclose(targets.query("attack == 'a'")["linf"], 0.1)


def test_what_depends_on_a_failed_cell_is_not_run(folder: Path) -> None:
    done = carry_out(folder, shift("bad", fault="nan"), doubt())
    reasons = sorted(done.state.failed.values())
    assert reasons[1] == "not run: attack bad failed"


@pytest.mark.slow
def test_models_that_cannot_be_made_again_in_time_are_one_failure(tmp_path: Path) -> None:
    parts = [shift("both", poison=True, seconds=9.0), shift("other", amount=0.3)]
    carry_out(tmp_path, *parts, doubt(), drop=True)
    new, slow = doubt("new", scale=3.0), Engine(ThreadPoolExecutor(1), 1, limit=6)
    done = carry_out(tmp_path, *parts, doubt(), new, engine=slow)
    reasons = {done.plan.cells[key].title: why for key, why in done.state.failed.items()}
    assert set(reasons) == {"both", "new × both"}
    assert "took longer than 6 s" in reasons["both"]
    ran = titles(done.plan, done.state.ran)
    assert ran == ["attack both", "benign new", "score new × other"]
    # The stored part of the row stays in the records, and the next run tries once more.
    scores = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    assert set(scores.query("attack == 'both'")["detector"]) == {"doubt"}
    assert recorded(done.plan, done.store).failed == done.state.failed
    assert not carry_out(tmp_path, *parts, doubt(), new).state.failed


def test_models_that_vanish_before_they_are_scored_are_made_again(trained: Path) -> None:
    cells = planned(trained, shift("both", poison=True), doubt(), far())
    store = Store(trained / "small" / "cells")

    class Thief(Lines):
        def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
            for key in outcomes:
                if cells.cells[key].kind == "attack" and not stolen:
                    stolen.append(key)
                    next(store.root.glob("attack/*/models.safetensors")).unlink()

    stolen = list[str]()
    state = run(cells, Place(store, None, {}), inline(), Thief(Console(quiet=True), cells))
    assert stolen
    assert not state.failed
    assert len(state.content) == len(cells.cells)


def test_what_another_run_finishes_meanwhile_is_not_computed_again(tmp_path: Path) -> None:
    rows = [shift(f"a{i}", amount=i / 20) for i in range(3)]
    cells = planned(tmp_path, *rows, doubt())
    place = Place(Store(tmp_path / "cells"), None, {})

    class Neighbour(Lines):
        def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
            if not others:
                others.append(run(cells, place, inline()))

    others = list[State]()
    state = run(cells, place, inline(), Neighbour(Console(quiet=True), cells))
    assert titles(cells, state.ran) == ["victim resnet-tiny seed 0"]
    assert len(others[0].ran) == len(cells.cells) - 1
    assert state.content == others[0].content


@pytest.mark.parametrize("when", ["before the cell", "while it runs"])
def test_code_that_changes_is_not_stored_under_the_old_identity(trained: Path, when: str) -> None:
    file, line = trained / "mine.py", "                doubt = 1 -"
    text = suites.PLUGINS.read_text()
    assert line in text
    changes = f"                Path({str(file)!r}).write_text({text + 'CHANGED = 1'!r})\n"
    file.write_text(text.replace(line, changes + line) if when == "while it runs" else text)
    detector = table("detectors", name="mine", method="mine.py:Doubt")
    cells = planned(trained, shift(), detector)
    place = Place(Store(trained / "small" / "cells"), None, {})
    if when == "before the cell":
        file.write_text(text.replace("doubt = 1 -", "doubt = 7 -"))
    failed = run(cells, place, inline()).failed
    assert titles(cells, [*failed]) == ["benign mine", "score mine × shift"]
    for reason in failed.values():
        assert reason.startswith("the code of 'mine' is not that of the plan: it has changed")


def _damage(file: Path, *, keep_time: bool) -> bytes:
    """Flip a bit; returns what the file was."""
    good, times = file.read_bytes(), file.stat()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    if keep_time:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    cached_victim.cache_clear()
    return good


def test_damaged_tensors_are_made_again(copy: Path) -> None:
    (file,) = copy.glob("small/cells/victim/*/victim.safetensors")
    good = _damage(file, keep_time=False)
    after = carry_out(copy, shift(), doubt())
    assert titles(after.plan, after.state.ran) == ["victim resnet-tiny seed 0"]
    assert file.read_bytes() == good


def test_damage_that_shows_late_is_named_and_nothing_else_is_lost(copy: Path) -> None:
    (file,) = copy.glob("small/cells/victim/*/victim.safetensors")
    good = _damage(file, keep_time=True)
    after = carry_out(copy, shift(), doubt(), doubt("new", scale=3.0))
    # The first cell that meets the damage takes the mark of the victim, which the next one misses.
    assert list(after.state.failed.values()) == [
        f"{path} is missing or damaged; remedy: run again"
        for path in (file, file.with_name("cell.json"))
    ]
    assert len(pd.read_parquet(copy / "small" / "scores.parquet")) == 164
    again = carry_out(copy, shift(), doubt(), doubt("new", scale=3.0))
    assert not again.state.failed
    assert file.read_bytes() == good


def test_a_damaged_record_is_made_again(copy: Path) -> None:
    done = carry_out(copy, shift(), doubt())
    (score,) = (done.store.root / "score").glob("*/scores.parquet")
    good = score.read_bytes()
    score.write_bytes(b"x" * len(good))
    after = carry_out(copy, shift(), doubt())
    assert titles(after.plan, after.state.ran) == ["score doubt × shift"]
    assert score.read_bytes() == good


def test_an_interrupt_keeps_what_is_finished(folder: Path) -> None:
    cells = planned(folder, shift(), doubt("late", scale=7.0))
    store = Store(folder / "small" / "cells")

    class Impatient(Lines):
        def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
            if any(cells.cells[key].title == "late × shift" for key in outcomes):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cells, Place(store, None, {}), inline(), Impatient(Console(quiet=True), cells))
    assert carry_out(folder, shift(), doubt("late", scale=7.0)).state.ran == []
