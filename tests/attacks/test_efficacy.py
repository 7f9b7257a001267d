"""Ending every target at the same confidence, on functions with a known answer."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from evil_twins.attacks.efficacy import AIM, SLACK, logit, validate
from evil_twins.attacks.search import crossing

KAPPA = 0.75
ENOUGH, LEAST, MOST = (logit(KAPPA + more) for more in (0, AIM, 2 * AIM))


def _search(margin_at: Callable[[Tensor, Tensor], Tensor], high: Tensor) -> Tensor:
    ends = (torch.full_like(high, end).double() for end in (ENOUGH, LEAST, MOST))
    return crossing(margin_at, high, *ends)


@given(
    st.lists(st.floats(-20, LEAST - 1e-3), min_size=1, max_size=5),
    st.floats(LEAST + 1e-3, 40),
    st.sampled_from([0.2, 1.0, 5.0]),
)
def test_a_rising_margin_ends_just_above_kappa(
    starts: list[float], end: float, bend: float
) -> None:
    start = torch.tensor(starts, dtype=torch.float64)
    evaluations = 0

    def rising(s: Tensor, index: Tensor) -> Tensor:
        nonlocal evaluations
        evaluations += len(index)
        return start[index] + (end - start[index]) * s**bend

    high = torch.ones(len(start), dtype=torch.float64)
    margins = rising(_search(rising, high), torch.arange(len(start)))
    assert (margins >= LEAST - 1e-9).all()
    assert (margins <= MOST + 1e-9).all()
    assert evaluations <= 30 * len(start)


def test_ends_that_need_no_search() -> None:
    margins = torch.tensor([[3.0, 5.0], [-4.0, 0.5], [3.0, 0.0]])  # at κ for s = 0, never, and both

    def straight(s: Tensor, index: Tensor) -> Tensor:
        return torch.lerp(margins[index, 0], margins[index, 1], s)

    assert _search(straight, torch.ones(3)).tolist() == [0.0, 1.0, 0.0]


def test_a_margin_that_jumps_ends_above_its_jump() -> None:
    where = torch.tensor([0.3, 0.7, 0.999])

    def jump(s: Tensor, index: Tensor) -> Tensor:
        return torch.where(s < where[index], -5.0, 9.0)

    s = _search(jump, torch.ones(3))
    assert (s >= where).all()
    assert (s - where < 1e-4).all()


@pytest.mark.parametrize("kappa", [0.0, 1.0, -0.1, 0.9999, 1 - SLACK / 4])
def test_what_cannot_be_ended_at_is_refused(kappa: float) -> None:
    with pytest.raises(ValueError, match="kappa is"):
        validate(kappa)
