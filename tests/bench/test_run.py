"""Runs: what is run, what is kept, what a fault stops."""

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pytest
import torch
from distributed import LocalCluster
from rich.console import Console

from bench import session, suite
from bench.assemble import Finished, assemble
from bench.cells import hold
from bench.cells.execute import Outcome, Place, execute
from bench.cells.score import lineup
from bench.cells.store import Store, fingerprint
from bench.engine import Engine, cluster, local
from bench.plan import Plan, plan
from bench.progress import Lines
from bench.run import State, job_of, run
from tests.bench import suites
from tests.bench.suites import doubt, far, shift, table


def _run(
    folder: Path,
    *parts: str,
    jobs: int = 1,
    head: str = suites.HEAD,
    engine: Engine | None = None,
    most: int | None = None,
    drop: bool = False,
) -> Finished:
    made = suite.load(suites.write(folder, *parts, head=head))
    loaded = hold.dataset("digits", None, None)
    cells = plan(made, loaded, "cpu")
    store = Store(folder / "small" / "cells")
    state = run(cells, Place(store, None, {}), engine or local(jobs), most=most, drop=drop)
    finished = Finished(made, loaded, cells, state, store)
    assemble(finished, folder / "small")
    return finished


def _titles(plan: Plan, keys: list[str]) -> list[str]:
    return sorted(f"{plan.cells[key].kind} {plan.cells[key].title}" for key in keys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained victim in its store, so that each test need not train its own."""
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def frames(folder: Path) -> tuple[Finished, dict[str, pd.DataFrame]]:
    done = _run(folder, shift(), shift("both", poison=True), doubt(), far())
    names = ("targets", "flips", "scores", "details", "gallery", "victims", "failures")
    return done, {name: pd.read_parquet(folder / "small" / f"{name}.parquet") for name in names}


def test_every_target_and_image_has_its_line(
    frames: tuple[Finished, dict[str, pd.DataFrame]],
) -> None:
    done, found = frames
    assert not done.state.failed
    targets, scores = found["targets"], found["scores"]
    assert len(targets) == 2 * 4
    assert set(targets["target_id"]) < set(done.data.confirmatory.ids)
    assert (targets["goal"] != targets["label"]).all()
    assert dict(targets.groupby("attack")["layers"].first()) == {"both": "head", "shift": "none"}
    counts = scores.groupby(["attack", "detector", "role"]).size()
    assert set(counts.xs("attacked", level="role")) == {4}
    assert set(counts.xs("calibration", level="role")) == {4 * 20}
    for _, row in scores.groupby(["attack", "detector"]):
        assert row["image_id"].is_unique
    benign = scores[scores["role"] != "attacked"]
    assert set(benign[benign["attack"] == "shift"]["target_id"]) == {""}
    assert set(benign[benign["attack"] == "both"]["target_id"]) == set(targets["target_id"])
    assert set(found["details"]["name"]) == {"brightness"}
    assert len(found["details"]) == 2 * 4


def test_measurements_agree_with_the_definition(
    frames: tuple[Finished, dict[str, pd.DataFrame]],
) -> None:
    _, found = frames
    targets = found["targets"].set_index("attack")
    assert np.allclose(targets["linf"], 0.1)
    assert (targets.loc["shift", ["kl", "flipped", "delta", "accuracy_drop"]] == 0).all(axis=None)
    assert not found["flips"]["attack"].eq("shift").any()
    counted = found["flips"].groupby("target_id").size()
    moved = targets.loc["both"].set_index("target_id")["flipped"]
    assert counted.reindex(moved.index, fill_value=0).eq(moved).all()
    # A constant on every bias changes no probability: KL is rounding alone, and nothing flips.
    assert targets.loc["both", "kl"].abs().max() < 1e-9
    assert targets.loc["both", "kl_reference"].abs().max() < 1e-9
    assert (targets.loc["both", "delta"] > 0).all()
    assert targets["kl_bound"].isna().all()


def test_scores_are_those_of_the_detector(
    frames: tuple[Finished, dict[str, pd.DataFrame]],
) -> None:
    _, found = frames
    own = found["scores"].query("detector == 'doubt'")
    assert np.allclose(own["score"], 1 - own["confidence"], atol=1e-6)


def test_a_second_run_runs_nothing(folder: Path) -> None:
    _run(folder, shift(), doubt())
    assert _run(folder, shift(), doubt()).state.ran == []


def test_new_names_for_old_things_run_nothing(folder: Path) -> None:
    _run(folder, shift(), doubt())
    assert _run(folder, shift("renamed"), doubt("also")).state.ran == []


def test_a_new_detector_runs_alone(folder: Path) -> None:
    _run(folder, shift(), doubt())
    done = _run(folder, shift(), doubt(), doubt("new", scale=3.0))
    assert _titles(done.plan, done.state.ran) == ["score new × shift"]


def test_equal_preparations_are_made_once(folder: Path) -> None:
    done = _run(folder, shift(), far(weight=0.7), far("back", weight=0.7, sign=-1.0))
    ran = _titles(done.plan, done.state.ran)
    assert ran == ["fit far", "score back × shift", "score far × shift"]


def test_an_edited_detector_scores_again(tmp_path: Path, folder: Path) -> None:
    mine = folder / "mine.py"
    mine.write_text(suites.PLUGINS.read_text())
    own = table("detectors", name="mine", method="mine.py:Doubt")
    assert len(_run(folder, shift(), own).state.ran) == 1
    mine.write_text(mine.read_text().replace("doubt = 1 -", "doubt = 2 -"))
    done = _run(folder, shift(), own)
    assert _titles(done.plan, done.state.ran) == ["score mine × shift"]
    score = pd.read_parquet(folder / "small" / "scores.parquet")["score"]
    assert (score > 1).all()


def test_another_seed_makes_again_what_descends_from_the_victim_alone(folder: Path) -> None:
    parts = [shift(), doubt(scale=1.5), far(weight=0.3)]
    first = _run(folder, *parts)
    head = suites.HEAD.replace("[targets]", "seed = 1\n[targets]")
    other = _run(folder, *parts, head=head)
    again = [title for title in _titles(other.plan, list(other.plan.cells)) if "fit" not in title]
    assert _titles(other.plan, other.state.ran) == again
    assert len(again) == 4
    assert not _run(folder, *parts).state.ran
    assert not set(first.state.content.values()) & {
        other.state.content[key] for key in other.state.ran
    }


def test_dropped_models_are_made_again_for_a_new_detector_alone(tmp_path: Path) -> None:
    parts = [shift("a"), shift("both", poison=True), doubt()]
    whole = _run(tmp_path, *parts)
    models = list(tmp_path.glob("small/cells/attack/*/models.safetensors"))
    assert len(models) == 1
    expected = _run(tmp_path, *parts, doubt("new", scale=3.0))
    wanted = pd.read_parquet(tmp_path / "small" / "scores.parquet")
    for score in expected.plan.shards[0].scores, expected.plan.shards[1].scores:
        shutil.rmtree(expected.store.path("score", expected.state.identity[score["new"]]))
    assert not _run(tmp_path, *parts, drop=True).state.ran
    assert not models[0].exists()
    done = _run(tmp_path, *parts)
    assert not done.state.ran
    assert done.state.content == whole.state.content
    done = _run(tmp_path, *parts, doubt("new", scale=3.0), drop=True)
    ran = ["attack both", "score new × a", "score new × both"]
    assert _titles(done.plan, done.state.ran) == ran
    assert not models[0].exists()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "small" / "scores.parquet"), wanted)


def test_models_stay_until_the_last_detector_has_scored_them(tmp_path: Path) -> None:
    parts = [shift("both", poison=True), doubt(), far()]
    done = _run(tmp_path, *parts, most=4, drop=True)
    assert len(done.state.ran) == 4  # all but one score
    assert list(tmp_path.glob("small/cells/attack/*/models.safetensors"))
    assert len(_run(tmp_path, *parts, drop=True).state.ran) == 1
    assert not list(tmp_path.glob("small/cells/attack/*/models.safetensors"))


def test_a_parent_that_changes_during_the_run_is_not_used(tmp_path: Path) -> None:
    done = _run(tmp_path, shift(), doubt())
    job = job_of(done.plan, done.state, done.plan.shards[0].scores["doubt"])
    other = {role: (*parent[:2], "another") for role, parent in job.parents.items()}
    outcome = execute(Place(done.store, None, {}), replace(job, parents=other))
    assert outcome.content is None
    assert "has changed during the run; run again" in outcome.reason


def test_models_that_cannot_be_made_again_stop_what_needs_them(tmp_path: Path) -> None:
    parts = [shift("both", poison=True), doubt()]
    done = _run(tmp_path, *parts, drop=True)
    cell = done.store.path("attack", done.state.identity[done.plan.shards[0].attack])
    facts = json.loads((cell / "cell.json").read_text())
    facts["files"]["models.safetensors"][1] = "0" * 64
    content = {name: digest for name, (_, digest, _) in facts["files"].items()}
    (cell / "cell.json").write_text(json.dumps(facts | {"content": fingerprint(content)}))
    assert not _run(tmp_path, *parts, doubt("old", scale=3.0), most=0).state.failed
    failed = _run(tmp_path, *parts, doubt("new", scale=3.0)).state.failed
    assert any(
        "made again here it is not what it was; remedy: run again" in f for f in failed.values()
    )
    assert not _run(tmp_path, *parts, doubt("new", scale=3.0)).state.failed


def test_two_rows_that_turn_out_to_be_one(folder: Path) -> None:
    both = [shift("one", amount=0.0), table("attacks", name="none", method="untouched")]
    done = _run(folder, *both, doubt("twin", scale=0.5))
    assert not done.state.failed
    ran = [title for title in _titles(done.plan, done.state.ran) if title.startswith("score")]
    assert len(ran) == 1
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    assert dict(scores.groupby("attack").size()) == {"one": 164, "none": 164}


def test_shards_leave_the_same_records(folder: Path, tmp_path: Path) -> None:
    whole = _run(folder, shift(poison=True), doubt())
    before = pd.read_parquet(folder / "small" / "scores.parquet")
    head = suites.HEAD + "shard = 3\n"
    done = _run(folder, shift(poison=True), doubt(), head=head)
    after = pd.read_parquet(folder / "small" / "scores.parquet")
    assert len(done.plan.shards) == 2
    assert len(whole.plan.shards) == 1
    pd.testing.assert_frame_equal(before, after, check_exact=False, atol=1e-6)


FAULTY = {
    "range": (
        shift("bad", fault="range"),
        r"attack 'bad' returned pixels in \[1.*expected \[0, 1\]",
    ),
    "nan": (shift("bad", fault="nan"), "attack 'bad' returned NaN or infinite pixels in 1 of 4"),
    "shape": (shift("bad", fault="shape"), "attack 'bad' returned x. of 4×1×7×8; expected 4×1×8×8"),
    "type": (shift("bad", fault="type"), "attack 'bad' returned Tensor; expected Attacked"),
    "models": (shift("bad", fault="models"), "attack 'bad' returned 5 models for 4 targets"),
    "confidence": (
        shift("bad", fault="doubtful"),
        r"attack 'bad', confidence, returned NaN or infinity for 4 of 4 targets",
    ),
    "raise": (shift("bad", fault="raise"), "RuntimeError: the attack; fell over"),
    "nan scores": (doubt("bad", fault="nan"), "detector 'bad' returned NaN or infinity for 1 of"),
    "length": (doubt("bad", fault="length"), "detector 'bad' returned 163 numbers for 164 images"),
    "list": (doubt("bad", fault="list"), "detector 'bad' returned list; expected a tensor"),
    "raise score": (doubt("bad", fault="raise"), "RuntimeError: the detector; fell over"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_stops_one_cell(folder: Path, name: str) -> None:
    part, said = FAULTY[name]
    done = _run(folder, shift(), doubt(), part)
    failures = pd.read_parquet(folder / "small" / "failures.parquet")
    causes = failures[~failures["reason"].str.startswith("not run")]
    assert len(causes) == 1
    assert pd.Series(causes["reason"]).str.match(said).all()
    log = folder / "small" / causes["log"].iloc[0]
    assert "Traceback" in log.read_text()
    assert all("\n" not in reason for reason in done.state.failed.values())
    kept = pd.read_parquet(folder / "small" / "scores.parquet")
    assert (kept["attack"].eq("shift") & kept["detector"].eq("doubt")).sum() == 164
    again = _run(folder, shift(), doubt(), part)
    assert len(again.state.ran) == 1
    assert len(again.state.failed) == len(done.state.failed)


def test_what_a_detector_does_to_a_model_stays_with_it(folder: Path) -> None:
    rows = [shift(), shift("both", poison=True)]
    _run(folder, *rows, doubt(scale=5.0))
    good = pd.read_parquet(folder / "small" / "scores.parquet")
    _run(folder, *rows, doubt("a", fault="meddle"), doubt(scale=5.5))
    after = pd.read_parquet(folder / "small" / "scores.parquet").query("detector == 'doubt'")
    assert np.allclose(after["score"] / 5.5, good["score"] / 5.0)


def test_an_attack_or_a_detector_that_overwrites_its_input_harms_no_other(folder: Path) -> None:
    rows = [shift("a", fault="vandal"), shift("b", amount=0.2)]
    _run(folder, *rows, doubt("a", fault="scrawl"), doubt("b", scale=2.0))
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    targets = pd.read_parquet(folder / "small" / "targets.parquet")
    # What a process keeps between cells is read anew, or harm done to it would go unseen.
    hold.victim.cache_clear()
    lineup.cache_clear()
    _run(folder, shift("b", amount=0.2), doubt("b", scale=2.5))
    alone = pd.read_parquet(folder / "small" / "scores.parquet")
    both = scores.query("attack == 'b' and detector == 'b'")
    assert np.allclose(both["score"] / 2.0, alone["score"] / 2.5)
    # Distances are measured from the x° that was given, not from what the attack made of it.
    assert np.allclose(targets.query("attack == 'a'")["linf"], 0.1)


def test_what_depends_on_a_failed_cell_is_not_run(folder: Path) -> None:
    done = _run(folder, shift("bad", fault="nan"), doubt())
    reasons = sorted(done.state.failed.values())
    assert reasons[1] == "not run: attack bad failed"


def _damage(file: Path, *, keep_time: bool) -> bytes:
    """Flip a bit; returns what the file was."""
    good, times = file.read_bytes(), file.stat()
    file.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    if keep_time:
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    hold.victim.cache_clear()
    return good


def test_damaged_tensors_are_made_again(tmp_path: Path) -> None:
    done = _run(tmp_path, shift(), doubt())
    file = done.store.path("victim", done.state.identity[done.plan.victim]) / "victim.safetensors"
    good = _damage(file, keep_time=False)
    after = _run(tmp_path, shift(), doubt())
    assert _titles(after.plan, after.state.ran) == ["victim resnet-tiny seed 0"]
    assert file.read_bytes() == good


def test_damage_that_shows_late_is_named_and_nothing_else_is_lost(tmp_path: Path) -> None:
    done = _run(tmp_path, shift(), doubt())
    file = done.store.path("victim", done.state.identity[done.plan.victim]) / "victim.safetensors"
    good = _damage(file, keep_time=True)
    after = _run(tmp_path, shift(), doubt(), doubt("new", scale=3.0))
    assert list(after.state.failed.values()) == [f"{file} is missing or damaged; remedy: run again"]
    assert len(pd.read_parquet(tmp_path / "small" / "scores.parquet")) == 164
    again = _run(tmp_path, shift(), doubt(), doubt("new", scale=3.0))
    assert not again.state.failed
    assert file.read_bytes() == good


def test_a_damaged_record_is_made_again(tmp_path: Path) -> None:
    done = _run(tmp_path, shift(), doubt())
    (score,) = (done.store.root / "score").glob("*/scores.parquet")
    good = score.read_bytes()
    score.write_bytes(b"x" * len(good))
    after = _run(tmp_path, shift(), doubt())
    assert _titles(after.plan, after.state.ran) == ["score doubt × shift"]
    assert score.read_bytes() == good


def test_an_interrupt_keeps_what_is_finished(folder: Path) -> None:
    made = suite.load(suites.write(folder, shift(), doubt("late", scale=7.0)))
    cells = plan(made, hold.dataset("digits", None, None), "cpu")
    store = Store(folder / "small" / "cells")

    class Impatient(Lines):
        def finished(self, worker: int, outcomes: Mapping[str, Outcome]) -> None:
            if any(cells.cells[key].title == "late × shift" for key in outcomes):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cells, Place(store, None, {}), local(1), Impatient(Console(quiet=True), cells))
    assert _run(folder, shift(), doubt("late", scale=7.0)).state.ran == []


def test_too_few_images_are_known_before_anything_runs(tmp_path: Path) -> None:
    head = suites.HEAD.replace("count = 4", "count = 400")
    with pytest.raises(session.UserError, match=r"400 targets were asked for.*has \d+"):
        _run(tmp_path, shift(), doubt(), head=head)
    assert not (tmp_path / "small").exists()


def test_global_random_numbers_and_threads_are_left_alone(folder: Path) -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    _run(folder, shift(), doubt("other", scale=11.0))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_processes_leave_the_same_bytes(tmp_path: Path) -> None:
    parts = [shift(), shift("both", poison=True), doubt(), far()]
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for place, jobs in ((alone, 1), (beside, 2)):
        place.mkdir()
        _run(place, *parts, jobs=jobs)
    for path in sorted((alone / "small").glob("*.parquet")):
        assert path.read_bytes() == (beside / "small" / path.name).read_bytes()


def _causes(done: Finished) -> dict[str, str]:
    return {done.plan.cells[key].title: why for key, why in done.state.failed.items()}


@pytest.mark.slow
def test_a_cell_that_dies_or_hangs_fails_alone(folder: Path) -> None:
    rows, good = [shift(), shift("both", poison=True)], doubt("good", scale=9.0)
    bad = [doubt(fault, fault=fault) for fault in ("die", "hang", "kill")]
    done = _run(folder, *rows, *bad, good, engine=local(2, limit=5))
    said = {"die": "exit status 7", "hang": "took longer than 5 s", "kill": "lack of memory"}
    causes = _causes(done)
    assert set(causes) == {f"{fault} × {row}" for fault in said for row in ("shift", "both")}
    assert all(said[title.split(" ")[0]] in why for title, why in causes.items())
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    assert set(scores["attack"]) == {"shift", "both"}
    assert set(scores["detector"]) == {"good"}
    logs = pd.read_parquet(folder / "small" / "failures.parquet")["log"]
    assert all((folder / "small" / log).read_text() for log in logs)
    again = _run(folder, *rows, doubt("die", fault="die"), good, engine=local(1, limit=60))
    assert _titles(again.plan, again.state.ran) == ["score die × both", "score die × shift"]


@pytest.mark.slow
def test_a_cluster_leaves_the_same_bytes_though_a_worker_dies(tmp_path: Path) -> None:
    parts = [*(shift(f"a{i}", amount=i / 20, poison=i % 2 == 1) for i in range(6)), doubt(), far()]
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    for place in (alone, beside):
        place.mkdir()
    _run(alone, *parts)
    with (
        dask.config.set({"distributed.worker.daemon": False}),
        LocalCluster(2, threads_per_worker=1, dashboard_address=None) as workers,
    ):
        victim = next(iter(workers.workers.values()))

        def strike() -> None:
            while not list((beside / "small" / "cells").glob("attack/*/cell.json")):
                time.sleep(0.05)
            os.kill(victim.pid, signal.SIGKILL)

        blow = threading.Thread(target=strike)
        blow.start()
        done = _run(beside, *parts, engine=cluster(workers.scheduler_address))
        blow.join()
    assert not _causes(done)
    for path in sorted((alone / "small").glob("*.parquet")):
        assert path.read_bytes() == (beside / "small" / path.name).read_bytes()


def test_a_cell_says_what_it_is(folder: Path) -> None:
    done = _run(folder, shift(), doubt())
    cell = done.store.path("attack", done.state.identity[done.plan.shards[0].attack])
    facts = json.loads((cell / "cell.json").read_text())
    assert facts["title"] == "shift"
    assert facts["spec"]["attack"]["class"] == "plugins.py:Shift"
    assert set(facts["parents"]) == {"victim"}
    assert isinstance(done.state, State)
