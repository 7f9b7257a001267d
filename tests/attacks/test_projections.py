import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from evil_twins.attacks import norms


def _case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    center = torch.rand(1, 6, generator=draw, dtype=torch.float64)
    center = center.round() if seed % 3 == 0 else center
    x = center + 0.7 * torch.randn(1, 6, generator=draw, dtype=torch.float64)
    return x, center, 1.2 * torch.rand(1, generator=draw, dtype=torch.float64)


def test_l2_ball_and_box_agree_with_a_solver() -> None:
    for seed in range(60):
        x, center, radius = _case(seed)
        z = norms.project(x, center, radius, "l2")[0].numpy()
        point, middle, r = x[0].numpy(), center[0].numpy(), float(radius)
        solved = minimize(
            lambda v, p=point: ((v - p) ** 2).sum(),
            middle,
            jac=lambda v, p=point: 2 * (v - p),
            bounds=[(0, 1)] * 6,
            constraints={
                "type": "ineq",
                "fun": lambda v, m=middle, r=r: r**2 - ((v - m) ** 2).sum(),
                "jac": lambda v, m=middle: -2 * (v - m),
            },
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(z, solved.x, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), norm=st.sampled_from(["linf", "l2"]))
def test_projection_is_the_nearest_point_of_the_set(seed: int, norm: norms.Norm) -> None:
    x, center, radius = _case(seed)
    z = norms.project(x, center, radius, norm)
    assert float(z.min()) >= 0
    assert float(z.max()) <= 1
    assert float(norms.size(z - center, norm)) <= float(radius) * (1 + 1e-12) + 1e-15
    torch.testing.assert_close(norms.project(z, center, radius, norm), z, atol=1e-12, rtol=0)
    draw = torch.Generator().manual_seed(seed)
    rivals = center + torch.randn(200, 6, generator=draw, dtype=torch.float64)
    rivals = norms.project(rivals, center.expand(200, -1), radius.expand(200), norm)
    assert float((z - x).norm()) <= float((rivals - x).norm(dim=1).min()) + 1e-9


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_scattered_points_lie_in_the_ball_and_the_box(norm: norms.Norm) -> None:
    draws, center = (
        torch.rand(50, 3, 4, generator=torch.Generator().manual_seed(i)) for i in (0, 1)
    )
    x = norms.scatter(center, torch.full((50,), 0.3), norm, draws)
    far = norms.size(x - center, norm)
    assert x.min() >= 0
    assert x.max() <= 1
    assert (far <= 0.3 + 1e-6).all()
    assert far.median() > 0.25
    middle = norms.scatter(torch.full_like(center, 0.5), torch.full((50,), 0.3), norm, draws)
    if norm == "l2":
        torch.testing.assert_close(norms.size(middle - 0.5, norm), torch.full((50,), 0.3))
        small, middle = (
            draws[:, :1, :2],
            torch.full((50, 1, 2), 0.5),
        )  # most of them within the ball
        near = norms.scatter(middle, torch.full((50,), 0.3), norm, small)
        torch.testing.assert_close(norms.size(near - 0.5, norm), torch.full((50,), 0.3))
    else:
        torch.testing.assert_close(middle, 0.5 + 0.3 * (2 * draws - 1))


def test_steepest_direction_earns_the_dual_norm() -> None:
    v = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    for norm in ("linf", "l2"):
        steepest = norms.direction(v, norm)
        torch.testing.assert_close((v * steepest).sum(1), norms.dual_size(v, norm))
        torch.testing.assert_close(norms.size(steepest, norm), torch.ones(5))
        assert (norms.direction(torch.zeros_like(v), norm) == 0).all()
