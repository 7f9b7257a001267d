"""The edit of a few weights, compared with every other choice and another solver."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import AIM, logit
from evil_twins.attacks.few_weights import FewWeights, prominent_features, second_moments
from evil_twins.attacks.head import ConvexHead
from tests.attacks import worlds


def small(seed: int, n: int = 3, features: int = 6, classes: int = 3) -> AttackerView:
    """Attack logits that are linear in six pixels."""
    draw = torch.Generator().manual_seed(seed)
    weight = 2 * torch.randn(classes, features, generator=draw)
    return worlds.linear_view(weight, torch.rand(40, 1, 1, features, generator=draw), n)


def test_chosen_features_are_hardly_worse_than_the_best_of_all_choices() -> None:
    ratios = []
    for seed in range(30):
        draw = np.random.default_rng(seed)
        h, moments = draw.random(7), second_moments(draw.random((50, 7)) ** 3)

        def merit(index: list[int], h: np.ndarray = h, a: np.ndarray = moments) -> float:
            return float(h[index] @ np.linalg.solve(a[np.ix_(index, index)], h[index]))

        best = max(merit(list(index)) for index in combinations(range(7), 3))
        chosen = prominent_features(h, moments, 3)
        assert chosen[0] == max(range(7), key=lambda j: merit([j]))
        assert len(set(chosen)) == 3
        ratios.append(merit(list(chosen)) / best)
    assert np.median(ratios) > 0.99
    assert min(ratios) > 0.8


def test_features_that_are_zero_at_the_target_are_not_used() -> None:
    assert set(prominent_features(np.array([0.0, 1.0, 0.0, 0.1]), np.eye(4), 3)) == {1, 3}
    view = small(0)
    dark = replace(view.targets, x=torch.zeros_like(view.targets.x))
    attacked = FewWeights(0.75)(replace(view, targets=dark))
    assert (attacked.rounds == -1).all()
    assert (attacked.models.distance() == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_weights_are_the_optimum_that_another_solver_finds(seed: int) -> None:
    view = small(seed)
    attacked = FewWeights(0.75, 2)(view)
    assert ((attacked.confidence >= 0.75) & (attacked.confidence <= 0.76)).all()
    start = view.victim.head.weight.double().numpy()
    rows = view.reference.features.double().numpy()
    h = view.targets.x.flatten(1).double().numpy()
    benign = log_softmax(rows @ start.T, axis=1)
    harm = worlds.kl(view, attacked.models)
    for i, goal in enumerate(view.targets.goal.tolist()):
        positions = np.nonzero(
            (attacked.models.parameters["head.weight"][i].numpy() != start).ravel()
        )[0]

        def head(v: np.ndarray, positions: np.ndarray = positions) -> np.ndarray:
            moved = start.ravel().copy()
            moved[positions] += v
            return moved.reshape(start.shape)

        def kl(v: np.ndarray) -> float:
            faced = log_softmax(rows @ head(v).T, axis=1)
            return float((np.exp(benign) * (benign - faced)).sum(1).mean())

        def missing(v: np.ndarray, i: int = i, goal: int = goal) -> float:
            z = head(v) @ h[i]
            return float(z[goal] - logsumexp(np.delete(z, goal)) - logit(0.75 + AIM))

        constraint = {"type": "ineq", "fun": missing}
        options = {"ftol": 1e-13, "maxiter": 2000}
        best = minimize(kl, np.zeros(4), constraints=constraint, method="SLSQP", options=options)
        assert float(harm[i]) == pytest.approx(best.fun, rel=2e-3)


def test_few_weights_change_and_more_of_them_cost_less() -> None:
    view = worlds.view()
    optimum = worlds.kl(view, ConvexHead(0.75, delta=20.0)(view).models)
    last = torch.full_like(optimum, torch.inf)
    for count in (1, 2, 8):
        attacked = FewWeights(0.75, count)(view)
        change = attacked.models.parameters["head.weight"] != view.victim.head.weight
        assert set(attacked.models.parameters) == {"head.weight"}
        assert (change.flatten(1).sum(1) <= 2 * count).all()
        for i, (label, goal) in enumerate(zip(view.targets.label, view.targets.goal, strict=True)):
            moved = set(change[i].any(1).nonzero().flatten().tolist())
            assert moved <= {int(label), int(goal)}
        harm = worlds.kl(view, attacked.models)
        assert (harm <= last * 1.001).all()
        assert (harm >= optimum * 0.999).all()
        last = harm


def test_no_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FewWeights(0.75, 0)
