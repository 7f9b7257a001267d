"""Exact arithmetic on a GPU: the settings here, the results in `test_gpu.py`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.cells.execute import Job, isolated
from evil_twins.bench.commands import app
from evil_twins.bench.components.component import Component
from evil_twins.bench.contract import run
from evil_twins.bench.contract.clause import Clause
from evil_twins.bench.run import score, workspace


def state() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return (
        cudnn.enabled,
        cudnn.allow_tf32,
        cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


BOUND = (True, False, True, True, True)


def test_float32_and_one_order_within_and_as_before_afterwards() -> None:
    before = state()
    with exact("cuda"):
        assert state() == BOUND
    assert state() == before
    with pytest.raises(ZeroDivisionError), exact(torch.device("cuda", 0)):
        raise ZeroDivisionError
    assert state() == before


def test_a_processor_is_left_as_it_is() -> None:
    before = state()
    with exact("cpu"):
        assert state() == before


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_cells_run_exactly(device: str) -> None:
    before = state()
    job = Job("score", "0", "", "", None, {"threads": 1, "device": device}, "", {})
    with isolated(job):
        assert state() == (BOUND if device == "cuda" else before)
    assert state() == before


def test_so_do_check_and_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states: list[tuple[bool, ...]] = []
    note: Callable[..., int] = lambda *_: states.append(state()) or 0  # noqa: E731
    monkeypatch.setattr(run, "_case", lambda *_: None)
    monkeypatch.setattr(run, "CLAUSES", {"detector": (Clause("", "", note),)})
    run.look("detector", Component("", {}), "cuda", 0)
    monkeypatch.setattr(run, "defender", note)
    run.world("detector", "cuda")
    monkeypatch.setattr(workspace, "resolve_device", lambda _: "cuda")
    monkeypatch.setattr(score, "score", note)
    files = [f"--{name}={tmp_path}" for name in ("victim", "faced", "inputs", "benign")]
    assert app.main(["score", *files]) == 0
    assert len(states) == 3
    assert set(states) == {BOUND}
