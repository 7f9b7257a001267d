import torch

from evil_twins.attacks.steps.multipliers import DAMPING, multipliers


def test_limits_are_kept_and_only_those_that_bind_have_a_price() -> None:
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(50, 4, 9, generator=draw, dtype=torch.float64)
    gram, need = rows @ rows.mT, torch.randn(50, 4, generator=draw, dtype=torch.float64)
    price = multipliers(gram, need)
    damped = gram + DAMPING * torch.diag_embed(gram.diagonal(dim1=1, dim2=2))
    spare = (damped @ price.unsqueeze(2)).squeeze(2) - need
    assert (price >= 0).all()
    assert (spare > -1e-3).all()
    assert ((price == 0) | (spare.abs() < 1e-3)).all()


def test_one_limit_is_a_newton_step() -> None:
    price = multipliers(torch.tensor([[[4.0]], [[4.0]]]), torch.tensor([[2.0], [-2.0]]))
    torch.testing.assert_close(price, torch.tensor([[0.5 / (1 + DAMPING)], [0.0]]))


def test_limits_that_agree_share_a_step_and_those_that_contradict_stay_finite() -> None:
    one = torch.tensor([1.0, 0.0])
    for other, limit in ((one, 1.01), (-one, 2 / DAMPING)):
        rows = torch.stack([one, other]).unsqueeze(0)
        price = multipliers(rows @ rows.mT, torch.ones(1, 2))
        assert float(price.sum()) <= limit


def test_what_nothing_changes_has_no_price() -> None:
    gram = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert float(multipliers(gram, torch.ones(1, 2))[0, 1]) == 0
