"""How long a plan will take: from cells of its own sort, or from those of another network."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.run import timing
from evil_twins.bench.run.forecast import forecast
from evil_twins.bench.run.plan import plan
from evil_twins.bench.run.schedule import survey
from evil_twins.bench.run.timing import Network
from evil_twins.bench.store.cells import Store
from evil_twins.bench.subjects.victims import Recipe, train
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.eleven import PARTS


def _measured(whole: Path, tmp_path: Path) -> Path:
    """Cells of which each took eight seconds, and tables that took thirty."""
    measured = tmp_path / "measured"
    shutil.copytree(whole / "small", measured / "small")
    for path in measured.glob("small/cells/*/*/provenance.json"):
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"seconds": 8.0}))
    mark = measured / "small" / "run.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"seconds": 30.0}))
    return measured


def test_a_forecast_is_the_sum_of_what_was_measured_shared_among_the_jobs(
    whole: Path, tmp_path: Path
) -> None:
    measured = _measured(whole, tmp_path)
    doubled = suites.HEAD.replace("count = 4", "count = 8")
    made = suite.load(suites.write(tmp_path, *PARTS, head=doubled))
    digits = cached_dataset("digits", None, None)
    cells = plan(made, digits, "cpu")
    ahead = forecast(cells, survey(cells, Store(tmp_path)), measured, 2, digits)
    # Twice the targets, and as many benign images for each: attacks and scores take twice as long.
    assert {kind: cost.seconds for kind, cost in ahead.costs.items()} == pytest.approx(
        {"victim": 8.0, "fit": 8.0, "attack": 3 * 16.0, "score": 6 * 16.0}
    )
    assert ahead.wall == pytest.approx((8.0 + 8.0 + 9 * 16.0) / 2 + 30)
    alone = forecast(cells, survey(cells, Store(tmp_path)), measured, 1000, digits)
    assert alone.wall == pytest.approx(8.0 + 16.0 + 16.0 + 30)
    assert ahead.unknown == 0


def test_a_forecast_for_another_network_takes_its_pace(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = _measured(whole, tmp_path)
    large = cached_dataset("digits", None, 16)
    made = suite.load(suites.write(tmp_path, *PARTS))
    cells = plan(made, replace(large, name="others"), "cpu")

    def passing(network: Network, device: str, threads: int) -> float:
        assert (device, threads) == ("cpu", 1)
        return 1e-3 * network.values * (3 if network.architecture == "resnet18-narrow" else 1)

    monkeypatch.setattr(timing, "passing", passing)
    monkeypatch.setattr(timing, "training", lambda *_: 0.5)
    ahead = forecast(cells, survey(cells, Store(tmp_path)), measured, 2, large)
    # Four times the pixels, for the fit as for the passes; two epochs of half a second an image.
    assert {kind: cost.seconds for kind, cost in ahead.costs.items()} == pytest.approx(
        {"victim": len(large.train), "fit": 32.0, "attack": 3 * 32.0, "score": 6 * 32.0}
    )
    assert ahead.unknown == 0
    wider = suites.HEAD.replace("resnet-tiny", "resnet18-narrow")
    made = suite.load(suites.write(tmp_path, *PARTS, head=wider))
    digits = cached_dataset("digits", None, None)
    cells = plan(made, digits, "cpu")
    ahead = forecast(cells, survey(cells, Store(tmp_path)), measured, 2, digits)
    assert {kind: ahead.costs[kind].seconds for kind in ("fit", "attack")} == pytest.approx(
        {"fit": 8.0, "attack": 3 * 24.0}
    )


def test_the_pace_of_a_network_is_measured_and_leaves_no_trace() -> None:
    small, large = (Network("resnet-tiny", 10, (1, side, side)) for side in (8, 64))
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert 0 < timing.passing(small, "cpu", 1) < timing.passing(large, "cpu", 1)
    assert timing.training(small, Recipe(batch=16), "cpu", 1) > 0
    victim = train(cached_dataset("digits", None, None).train, "resnet-tiny", 10, Recipe(1), 0)
    assert timing.parameters(small) == sum(value.numel() for value in victim.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_detector_on_a_row_that_never_ran_takes_what_it_took_on_others(
    whole: Path, tmp_path: Path
) -> None:
    measured, seconds = _measured(whole, tmp_path), {}
    for path in measured.glob("small/cells/score/*/provenance.json"):
        spec = json.loads((path.parent / "cell.json").read_text())["spec"]
        took = seconds.setdefault(spec["detector"]["class"], 8.0 + 100 * len(seconds))
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(facts | {"seconds": took}))
    row = '[[attacks]]\nmethod = "poisoning"\nkappa = 0.75\nmodel = { layers = "head" }\n\n'
    made = suite.load(suites.write(tmp_path, *PARTS, row))
    digits = cached_dataset("digits", None, None)
    cells = plan(made, digits, "cpu")
    state = survey(cells, Store(measured / "small" / "cells"))
    ahead = forecast(cells, state, measured, 1, digits)
    scores = [key for key in ahead.seconds if cells.cells[key].kind == "score"]
    found = {cells.cells[k].spec["detector"]["class"]: ahead.seconds[k] for k in scores}
    assert len(found) > 1
    assert found == pytest.approx(seconds)
