"""The edit of a few weights, held against every other choice and another solver."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.efficacy import AIM, logit
from evil_twins.attacks.few_weights import FewWeights, prominent_features, second_moments
from evil_twins.attacks.head import ConvexHead
from tests.attacks import worlds


def small(seed: int, n: int = 3, features: int = 6, classes: int = 3) -> AttackerView:
    """Logits linear in six pixels, at which the last layer looks directly."""
    draw = torch.Generator().manual_seed(seed)
    victim = worlds.Linear(2 * torch.randn(classes, features, generator=draw), torch.zeros(classes))
    x = torch.rand(40, 1, 1, features, generator=draw)
    label = victim(x).argmax(1)
    targets = Targets(x[:n], label[:n], (label[:n] + 1) % classes)
    return AttackerView(victim, targets, Reference.of(victim, x, label), worlds.generator)


def test_the_features_chosen_are_hardly_worse_than_the_best_of_all_choices() -> None:
    ratios = []
    for seed in range(30):
        draw = np.random.default_rng(seed)
        own, moments = draw.random(7), second_moments(draw.random((50, 7)) ** 3)

        def worth(some: list[int], own: np.ndarray = own, a: np.ndarray = moments) -> float:
            return float(own[some] @ np.linalg.solve(a[np.ix_(some, some)], own[some]))

        best = max(worth(list(some)) for some in combinations(range(7), 3))
        first = max(range(7), key=lambda j: worth([j]))
        found = prominent_features(own, moments, 3)
        assert found[0] == first
        assert len(set(found)) == 3
        ratios.append(worth(list(found)) / best)
    assert np.median(ratios) > 0.99
    assert min(ratios) > 0.8


def test_features_that_are_zero_at_the_target_are_left_alone() -> None:
    assert set(prominent_features(np.array([0.0, 1.0, 0.0, 0.1]), np.eye(4), 3)) == {1, 3}
    view = small(0)
    dark = replace(view.targets, x=torch.zeros_like(view.targets.x))
    found = FewWeights(0.75)(replace(view, targets=dark))
    assert (found.rounds == -1).all()
    assert (found.models.distance() == 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_weights_are_the_optimum_that_another_solver_finds(seed: int) -> None:
    view = small(seed)
    found = FewWeights(0.75, 2)(view)
    assert ((found.confidence >= 0.75) & (found.confidence <= 0.76)).all()
    start = view.victim.head.weight.double().numpy()
    rows = view.reference.features.double().numpy()
    own = view.targets.x.flatten(1).double().numpy()
    benign = log_softmax(rows @ start.T, axis=1)
    mine = worlds.kl(view, found.models)
    for i, goal in enumerate(view.targets.goal.tolist()):
        places = np.nonzero((found.models.parameters["head.weight"][i].numpy() != start).ravel())[0]

        def head(v: np.ndarray, places: np.ndarray = places) -> np.ndarray:
            moved = start.ravel().copy()
            moved[places] += v
            return moved.reshape(start.shape)

        def kl(v: np.ndarray) -> float:
            faced = log_softmax(rows @ head(v).T, axis=1)
            return float((np.exp(benign) * (benign - faced)).sum(1).mean())

        def missing(v: np.ndarray, i: int = i, goal: int = goal) -> float:
            z = head(v) @ own[i]
            return float(z[goal] - logsumexp(np.delete(z, goal)) - logit(0.75 + AIM))

        constraint = {"type": "ineq", "fun": missing}
        how = {"ftol": 1e-13, "maxiter": 2000}
        best = minimize(kl, np.zeros(4), constraints=constraint, method="SLSQP", options=how)
        assert float(mine[i]) == pytest.approx(best.fun, rel=2e-3)


def test_few_weights_change_and_more_of_them_cost_less() -> None:
    view = worlds.view()
    optimum = worlds.kl(view, ConvexHead(0.75, delta=20.0)(view).models)
    last = torch.full_like(optimum, torch.inf)
    for count in (1, 2, 8):
        found = FewWeights(0.75, count)(view)
        change = found.models.parameters["head.weight"] != view.victim.head.weight
        assert set(found.models.parameters) == {"head.weight"}
        assert (change.flatten(1).sum(1) <= 2 * count).all()
        for i, (label, goal) in enumerate(zip(view.targets.label, view.targets.goal, strict=True)):
            moved = set(change[i].any(1).nonzero().flatten().tolist())
            assert moved <= {int(label), int(goal)}
        harm = worlds.kl(view, found.models)
        assert (harm <= last * 1.001).all()
        assert (harm >= optimum * 0.999).all()
        last = harm


def test_no_features_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FewWeights(0.75, 0)
