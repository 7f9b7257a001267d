"""Forecasts: measured cells of the same data and network count, all others are said to be new."""

import json
import shutil
from pathlib import Path

import pytest

from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.run.forecast import Forecast, forecast
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.schedule import survey
from evil_twins.bench.store.cells import Store
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.small_run import CELLS, KINDS, PARTS


@pytest.fixture
def measured(whole: Path, tmp_path: Path) -> Path:
    """Return results with cells that took eight seconds each, and tables that took thirty."""
    results = tmp_path / "measured"
    shutil.copytree(whole / "small", results / "small")
    for path in results.glob("small/cells/*/*/provenance.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"seconds": 8.0}))
    mark = results / "small" / "run.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"seconds": 30.0}))
    return results


def _plan(folder: Path, *rows: str, head: str = suites.HEAD) -> Plan:
    loaded = suite.load(suites.write(folder, *PARTS, *rows, head=head))
    return plan(loaded, cached_dataset("digits", None, loaded.size), "cpu")


def _forecast(cells: Plan, results: Path, jobs: int, store: Path) -> Forecast:
    return forecast(cells, survey(cells, Store(store)), results, jobs)


def test_a_forecast_is_the_sum_of_what_was_measured_shared_among_the_jobs(
    measured: Path, tmp_path: Path
) -> None:
    cells = _plan(tmp_path, head=suites.HEAD.replace("count = 4", "count = 8"))
    ahead = _forecast(cells, measured, 2, tmp_path)
    # Twice the targets, and as many benign images for each: attacks and scores take twice as long.
    assert {kind: cost.seconds for kind, cost in ahead.costs.items()} == pytest.approx(
        {"victim": 8.0, "fit": 8.0, "attack": 3 * 16.0, "benign": 2 * 16.0, "score": 6 * 16.0}
    )
    assert ahead.wall == pytest.approx((8.0 + 8.0 + 11 * 16.0) / 2 + 30)
    assert ahead.total() == "about 2 min in all"
    longest = _forecast(cells, measured, 1000, tmp_path)
    assert longest.wall == pytest.approx(8.0 + 16.0 + 16.0 + 30)
    assert not ahead.unmeasured


@pytest.mark.parametrize(
    ("old", "new", "measured_kinds"),
    [
        ("resnet-tiny", "resnet18-narrow", {"fit"}),  # a preparation sees no network
        ('"digits"', '"digits"\nsize = 16', set()),
        ("epochs = 2", "epochs = 3", {"fit", "attack", "benign", "score"}),
    ],
)
def test_what_never_ran_on_such_a_network_or_data_is_said_to_be_unmeasured(
    measured: Path, tmp_path: Path, old: str, new: str, measured_kinds: set[str]
) -> None:
    cells = _plan(tmp_path, head=suites.HEAD.replace(old, new))
    ahead = _forecast(cells, measured, 1, tmp_path)
    unmeasured = {kind: n for kind, n in KINDS.items() if kind not in measured_kinds}
    assert ahead.unmeasured == unmeasured
    assert set(ahead.costs) == measured_kinds
    said = ahead.total()
    if measured_kinds:
        assert said.startswith("about ")
        assert f", and {sum(unmeasured.values())} cells never measured: run some" in said
    else:
        assert said == "never measured: run some with --limit"
    assert sum(ahead.to_run.values()) == CELLS


def test_a_detector_on_a_row_that_never_ran_takes_what_it_took_on_others(
    measured: Path, tmp_path: Path
) -> None:
    seconds = dict[str, float]()
    for path in measured.glob("small/cells/score/*/provenance.json"):
        spec = json.loads((path.parent / "cell.json").read_text())["spec"]
        took = seconds.setdefault(spec["detector"]["class"], 8.0 + 100 * len(seconds))
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"seconds": took}))
    row = '[[attacks]]\nmethod = "poisoning"\nkappa = 0.75\nmodel = { layers = "head" }\n\n'
    cells = _plan(tmp_path, row)
    ahead = _forecast(cells, measured, 1, measured / "small" / "cells")
    scores = [key for key in ahead.seconds if cells.cells[key].kind == "score"]
    forecasts = {cells.cells[k].spec["detector"]["class"]: ahead.seconds[k] for k in scores}
    assert len(forecasts) > 1
    assert forecasts == pytest.approx(seconds)
