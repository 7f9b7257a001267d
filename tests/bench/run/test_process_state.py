"""No component shares the state of its process with another one."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.cells.execute import Job
from evil_twins.bench.components.containment import component_runs
from evil_twins.bench.components.process_state import GLOBAL, Globals
from evil_twins.bench.errors import Fault
from evil_twins.bench.run import guard
from evil_twins.bench.run.course import job_of
from evil_twins.bench.run.engine import local
from tests.bench.run import meddlers
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, shift, table

FILE = Path(meddlers.__file__)


def _meddler(part: str) -> str:
    change = list(meddlers.CHANGES).index(part)
    return table("detectors", name=f"m{change}", method=f"{FILE}:Meddler", change=change)


CALM = table("detectors", name="calm", method=f"{FILE}:Meddler")


def test_every_part_of_the_state_has_a_change() -> None:
    assert meddlers.STATE.keys() | {"those of the GPUs"} == GLOBAL.keys()


@pytest.mark.parametrize("part", meddlers.STATE)
def test_what_a_component_changes_is_restored(part: str) -> None:
    before = Globals.now()
    with component_runs():
        meddlers.STATE[part]()
        changed = before.changed()
    assert part in changed
    assert not before.changed()


@pytest.mark.parametrize("end", meddlers.ENDS)
def test_an_end_of_the_program_is_a_fault(end: str) -> None:
    with pytest.raises(Fault, match=r"SystemExit|KeyboardInterrupt"), component_runs():
        meddlers.ENDS[end]()


def test_an_end_of_the_program_in_a_cell_fails_this_cell(folder: Path) -> None:
    done = carry_out(folder, shift("a"), *map(_meddler, meddlers.ENDS), CALM)
    reasons = ["KeyboardInterrupt", "SystemExit: 0", "SystemExit: 2"]
    # Each in the scores of benign images, and in those of attacked ones.
    assert sorted(done.state.failed.values()) == sorted(2 * reasons)


def _processes(folder: Path, *detectors: str) -> list[list[float]]:
    """Return the processes in which each detector scores two attacks."""
    rows = [shift("a"), shift("b", amount=0.2)]
    assert not carry_out(folder, *rows, *detectors, engine=local(1)).state.failed
    scores = pd.read_parquet(folder / "small" / "scores.parquet")
    used = scores.pivot_table("score", "detector", "attack", aggfunc="first", sort=False)
    return [list(used.loc[label]) for label in used.index]


def test_a_worker_in_which_something_was_changed_runs_no_other_cell(folder: Path) -> None:
    ((first, second),) = _processes(folder, _meddler("softmax"))
    assert first != second


def test_a_worker_in_which_all_was_restored_goes_on(folder: Path) -> None:
    ((first, second),) = _processes(folder, _meddler("NumPy's treatment of errors"))
    assert first == second


def test_no_two_plugins_share_a_process(folder: Path) -> None:
    parts = ("torch's precision of products", "whether torch looks for anomalies")  # no other test
    first, second = _processes(folder, *map(_meddler, parts))
    assert first[0] == first[1] != second[0] == second[1]  # they do not alternate


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    done = carry_out(folder, shift("a"), CALM)
    return job_of(done.plan, done.state, done.plan.shards[0].scores["calm"])


@pytest.mark.parametrize("part", [*meddlers.OTHERS, "torch's default dtype"])
def test_whatever_was_changed_and_not_restored_ends_the_worker(job: Job, part: str) -> None:
    with guard.lane() as lane:
        first, second = (
            lane.submit(guard.run_cell, meddlers.change, job, (part,), None).result()
            for _ in range(2)
        )
    assert (first == second) == (part in meddlers.STATE)


@pytest.mark.slow
def test_no_change_reaches_the_scores_of_another_detector(tmp_path: Path) -> None:
    rows, parts = [shift("a"), shift("both", poison=True)], [*meddlers.STATE, *meddlers.OTHERS]
    for name, others in (("calm", []), ("meddled", parts)):
        (tmp_path / name).mkdir()
        detectors = [*map(_meddler, others), doubt()]
        assert not carry_out(tmp_path / name, *rows, *detectors, engine=local(2)).state.failed
    calm, meddled = (
        pd.read_parquet(tmp_path / name / "small" / "scores.parquet").query("detector == 'doubt'")
        for name in ("calm", "meddled")
    )
    pd.testing.assert_frame_equal(calm, meddled.reset_index(drop=True), check_exact=True)
