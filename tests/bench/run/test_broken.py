"""An executor of a user that breaks by itself: the run ends, and only cells in flight are lost."""

from concurrent.futures import BrokenExecutor, Future
from pathlib import Path

import pytest

from evil_twins.bench.run import session
from evil_twins.bench.run.assemble import Finished
from evil_twins.bench.run.engine import Engine
from evil_twins.bench.run.selection import WHOLE
from evil_twins.bench.run.session import Execution
from evil_twins.bench.run.workspace import Folders
from evil_twins.bench.suite.suite import load
from tests.bench import suites
from tests.bench.runs import Inline, carry_out
from tests.bench.small_run import same
from tests.bench.suites import doubt, shift

PARTS = shift(), shift("both", poison=True), doubt()


class Fragile(Inline):
    """Runs `sound` calls and takes no more; or loses only the next one, with an error."""

    def __init__(self, sound: int, error: BaseException | None = None) -> None:
        self.sound, self.error, self.calls = sound, error, 0

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        """Run a function, lose it, or refuse it."""
        self.calls += 1
        if self.calls <= self.sound or (self.error and self.calls > self.sound + 1):
            return super().submit(fn, *args, **kwargs)
        if self.error is None:
            raise BrokenExecutor("a child has gone")
        future: Future[object] = Future()
        future.set_exception(self.error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Fail, as one whose connection is gone may do."""
        raise ConnectionError("no scheduler")


def _causes(done: Finished) -> dict[str, str]:
    return {done.plan.cells[key].title: why for key, why in done.state.failed.items()}


@pytest.mark.parametrize("sound", [0, 1, 2])
def test_an_executor_that_takes_no_more_ends_the_run_with_what_is_stored(
    tmp_path: Path, sound: int
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for place in (first, second):
        place.mkdir()
    carry_out(first, *PARTS)
    fragile = Fragile(sound)
    done = carry_out(second, *PARTS, engine=Engine(fragile, 2, guarded=False))
    assert fragile.calls == sound + 1
    assert len(done.state.content) == sound
    causes = _causes(done)
    assert len(causes) == len(done.plan.cells) - sound
    lost = [why for why in causes.values() if not why.startswith("not run: ")]
    assert lost == ["its worker was lost: BrokenExecutor: a child has gone"]
    assert not carry_out(second, *PARTS).state.failed
    assert same(first, second)


@pytest.mark.parametrize("error", [BrokenExecutor("gone"), KeyboardInterrupt(), SystemExit(0)])
def test_an_executor_that_loses_a_call_loses_only_its_cells(
    tmp_path: Path, error: BaseException
) -> None:
    fragile = Fragile(2, error)
    done = carry_out(tmp_path, *PARTS, engine=Engine(fragile, 1, guarded=False))
    lost = {title: why for title, why in _causes(done).items() if "not run" not in why}
    assert len(lost) == 1
    assert all(type(error).__name__ in why for why in lost.values())
    assert len(done.state.content) == len(done.plan.cells) - len(done.state.failed) >= 3


def test_the_run_says_in_three_lines_why_it_ended(tmp_path: Path) -> None:
    suite = load(suites.write(tmp_path, *PARTS))
    execution = Execution("cpu", engine=Engine(Fragile(1), 1, guarded=False))
    end = session.run(suite, Folders(tmp_path), execution, WHOLE)
    first, second, third = end.lines()
    assert first.endswith(": its worker was lost: BrokenExecutor: a child has gone (and 2 more)")
    assert second.startswith("5 of 6 cells failed or wait for one; see ")
    assert Path(second.rpartition(" see ")[2]).read_text()
    assert third.startswith("remedy: ")
    assert len(end.failed) == 5
