from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from evil_twins.attacks.controls import FineTuning, Noise, Untouched
from evil_twins.attacks.efficacy import AIM, logit, margin
from evil_twins.attacks.head import ConvexHead, HeadProblem, RankOneHead, target_rows
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.fisher import HEAD_DAMPING, head_blocks
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds


def test_rank_one_head_is_the_closed_form() -> None:
    view = worlds.view()
    attacked = RankOneHead(0.9)(view)
    z = view.victim(view.targets.x)
    faced = torch.stack([attacked.models[i](view.targets.x[i : i + 1])[0] for i in range(6)])
    aimed = torch.full((6,), logit(0.9 + AIM))
    torch.testing.assert_close(margin(faced, view.targets.goal), aimed, atol=1e-4, rtol=0)
    change = attacked.models.parameters["head.weight"] - view.victim.head.weight
    assert (torch.linalg.matrix_rank(change, rtol=1e-4) == 1).all()
    changes = (faced - z).scatter(1, view.targets.goal.unsqueeze(1), 0.0)
    moved = changes[changes != 0].view(6, 3)
    torch.testing.assert_close(moved, moved[:, :1].expand(6, 3), atol=1e-4, rtol=1e-4)


def test_convex_head_agrees_with_another_solver_and_with_its_own_bound() -> None:
    draw = torch.Generator().manual_seed(5)
    weight = torch.randn(3, 2, generator=draw)
    x = torch.rand(30, 1, 1, 2, generator=draw)
    view = worlds.linear_view(weight, x, 3)
    problem, h = HeadProblem.of(view, delta=20.0), target_rows(view)
    aim = logit(0.75 + AIM)
    optima = [problem.solve(h[i], int(view.targets.goal[i]), aim) for i in range(3)]
    rows = np.hstack([x.flatten(1).numpy().astype(float), np.ones((30, 1))])
    start = np.hstack([weight.double().numpy(), np.zeros((3, 1))])

    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    benign = softmax(rows @ start.T)

    def kl(v: np.ndarray) -> float:
        return float((benign * np.log(benign / softmax(rows @ v.reshape(3, 3).T))).sum(1).mean())

    for i, goal in enumerate(view.targets.goal.tolist()):

        def missing(v: np.ndarray, i: int = i, goal: int = goal) -> float:
            p = softmax(v.reshape(3, 3) @ rows[i])[goal]
            return float(np.log(p / (1 - p)) - logit(0.75 + AIM))

        solution = minimize(
            kl,
            start.ravel(),
            constraints={"type": "ineq", "fun": missing},
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 1000},
        )
        assert optima[i].kl == pytest.approx(solution.fun, rel=1e-3)
        assert optima[i].bound <= optima[i].kl
        assert optima[i].kl - optima[i].bound < 0.01 * optima[i].kl


def test_head_poisoning_comes_close_to_the_convex_optimum() -> None:
    view = worlds.view()
    best = worlds.kl(view, ConvexHead(0.75, delta=20.0)(view).models)
    kl = worlds.kl(view, Poisoning(ModelStep("head", delta=20.0), 0.75)(view).models)
    rank_one = worlds.kl(view, RankOneHead(0.75)(view).models)
    assert float((kl / best).median()) <= 1.1
    assert float((rank_one / best).median()) > 1.1


def test_head_metric_is_the_inverse_of_the_class_blocks() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(50, 3, generator=draw, dtype=torch.float64)
    p = torch.randn(50, 4, generator=draw, dtype=torch.float64).softmax(1)
    inverses = head_blocks(features, p, 0.01)
    rows = torch.cat([features, torch.ones(50, 1)], 1)
    for k in range(4):
        block = sum((p[m, k] * (1 - p[m, k]) + 0.01) * rows[m].outer(rows[m]) for m in range(50))
        block = block / 50
        block = block + HEAD_DAMPING * block.diagonal().mean() * torch.eye(4)
        torch.testing.assert_close(inverses[k] @ block, torch.eye(4, dtype=torch.float64))


def test_a_learning_rate_too_large_makes_no_model_step_leap() -> None:
    view = worlds.view()
    best = worlds.kl(view, ConvexHead(0.75, delta=20.0)(view).models)
    wild = Poisoning(ModelStep("head", lr=10.0, delta=20.0), 0.75)(view)
    assert (wild.confidence >= 0.75).all()
    assert float((worlds.kl(view, wild.models) / best).median()) <= 1.1


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_has_the_norm_of_pgd_away_from_the_box(norm: str) -> None:
    view = worlds.view()
    middle = replace(view.targets, x=0.5 + 0.1 * (view.targets.x - 0.5))
    radii = torch.full((6,), 0.2)
    step = InputStep(norm)  # type: ignore[arg-type]
    attacked = Noise(step, 0.75)(replace(view, targets=middle, radii=radii))
    far = (attacked.x - middle.x).flatten(1)
    sizes = far.abs().amax(1) if norm == "linf" else far.norm(dim=1)
    torch.testing.assert_close(sizes, radii)
    assert Noise(step, 0.75).nature.radii == PGD(step, 0.75)


def test_fine_tuning_lowers_the_loss_and_moves_only_its_layers() -> None:
    view = worlds.view(3)
    assert torch.equal(Untouched()(view).x, view.targets.x)
    attacked = FineTuning("head", lr=0.05, batch=32, steps=60)(view)
    assert attacked.models.layers == "head"
    x, label = view.reference.x, view.reference.label
    before = nn.functional.cross_entropy(view.victim(x), label)
    for i in range(3):
        assert nn.functional.cross_entropy(attacked.models[i](x), label) < before
    assert FineTuning("all", steps=2)(view).models.layers == "all"
