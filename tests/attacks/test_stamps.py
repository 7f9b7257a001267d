"""Triggers as formulas, and as the toolbox stamps them."""

import numpy as np
import pytest
import torch
from art.attacks.poisoning.perturbations import add_single_bd

from evil_twins.attacks.stamps import FixedTrigger, Stamp


def test_stamps_are_the_formulas_of_their_papers() -> None:
    x = torch.rand(2, 5, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    draws = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    blend = FixedTrigger("blend", 0.2)(draws)(x)
    torch.testing.assert_close(blend, 0.8 * x + 0.2 * draws.unsqueeze(1))
    wave = FixedTrigger("sine", 0.1, waves=2)(draws)(x)
    column = 0.1 * torch.sin(2 * torch.pi * 2 * torch.arange(8) / 8)
    torch.testing.assert_close(wave, (x + column).clamp(0, 1))
    noise = FixedTrigger("noise", 0.1)(draws)
    assert torch.equal(noise.pattern.abs(), torch.full_like(draws, 0.1))
    patch = FixedTrigger("patch", side=0.25)(torch.ones_like(draws))(x)
    assert (patch[..., 6:, 6:] == 1).all()
    assert torch.equal(patch[..., :6, :], x[..., :6, :])
    assert torch.equal(Stamp.additive(draws).scaled(torch.zeros(2))(x), x)


def test_a_clipped_pixel_passes_the_gradient() -> None:
    pattern = torch.tensor([-2.0, -0.1, 0.1, 2.0]).view(1, 1, 2, 2).requires_grad_()
    stamped = Stamp.additive(pattern)(torch.full((1, 3, 1, 2, 2), 0.5))
    assert stamped[0, 0].flatten().tolist() == pytest.approx([0, 0.4, 0.6, 1])
    (slope,) = torch.autograd.grad(stamped.sum(), pattern)
    assert torch.equal(slope, torch.full_like(pattern, 3))


def test_a_patch_of_one_pixel_is_that_of_the_toolbox() -> None:
    x = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    expected = add_single_bd(x.numpy(), distance=1, pixel_value=1)
    stamp = FixedTrigger("patch", side=0.1)(torch.ones(1, 1, 8, 8, dtype=torch.float64))
    assert np.array_equal(stamp(x.view(1, 3, 1, 8, 8)).view(3, 8, 8).numpy(), expected)
