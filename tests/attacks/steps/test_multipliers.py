import torch

from evil_twins.attacks.steps.multipliers import DAMPING, multipliers


def test_limits_are_kept_and_only_active_ones_have_a_multiplier() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(50, 4, 9, generator=draw, dtype=torch.float64)
    gram, need = rows @ rows.mT, torch.randn(50, 4, generator=draw, dtype=torch.float64)
    mu = multipliers(gram, need)
    damped = gram + DAMPING * torch.diag_embed(gram.diagonal(dim1=1, dim2=2))
    spare = (damped @ mu.unsqueeze(2)).squeeze(2) - need
    assert (mu >= 0).all()
    assert (spare > -1e-3).all()
    assert ((mu == 0) | (spare.abs() < 1e-3)).all()


def test_one_limit_is_a_newton_step() -> None:
    mu = multipliers(torch.tensor([[[4.0]], [[4.0]]]), torch.tensor([[2.0], [-2.0]]))
    torch.testing.assert_close(mu, torch.tensor([[0.5 / (1 + DAMPING)], [0.0]]))


def test_limits_that_agree_share_a_step_and_those_that_contradict_stay_finite() -> None:
    slope = torch.tensor([1.0, 0.0])
    for second, limit in ((slope, 1.01), (-slope, 2 / DAMPING)):
        rows = torch.stack([slope, second]).unsqueeze(0)
        mu = multipliers(rows @ rows.mT, torch.ones(1, 2))
        assert float(mu.sum()) <= limit


def test_a_limit_that_nothing_changes_has_no_multiplier() -> None:
    gram = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert float(multipliers(gram, torch.ones(1, 2))[0, 1]) == 0
