"""How work on a GPU is made as exact as on a processor; what comes of it, `test_gpu.py` sees."""

import pytest
import torch

from bench.cells.execute import Job, alone
from bench.exact import exact


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
    with alone(job):
        assert state() == (BOUND if device == "cuda" else before)
    assert state() == before
