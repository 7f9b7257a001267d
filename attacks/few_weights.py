"""The last layer edited in a few weights, after TA-LBF (Bai et al., ICLR 2021)."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from evil_twins.attacks.base import Attacked, AttackerView, Kappa, Nature
from evil_twins.attacks.efficacy import Level, measured, settled, validate
from evil_twins.attacks.head import Array, HeadProblem, target_rows
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.fisher import HEAD_DAMPING

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class FewWeights:
    """Model only: two weights of the last layer for each of a few features, the least KL for κ.

    TA-LBF flips a few bits of the weights in the rows of the label and of the goal, by ADMM between
    the error at x° and the cross entropy of other inputs. Here a weight takes any value, κ is a
    constraint, and KL on the reference is minimised. The features are those that together differ
    most at x° from their distribution on the reference. In their weights the problem is convex and
    is solved to the optimum.

    Attributes:
        kappa: The required efficacy.
        features: The number of features; ‖θ - θ°‖₀ is twice as large.
    """

    kappa: Kappa
    features: int = 4

    def __post_init__(self) -> None:
        validate(self.kappa)
        if self.features < 1:
            raise ValueError(f"features is {self.features}; at least 1 was expected")

    @property
    def nature(self) -> Nature:
        """The properties of the attack with these parameters."""
        return Nature("model", phi=0.0, layers="head")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; x* is x°.

        A target whose features are all 0 keeps the victim, as no weight changes its logits.
        """
        problem, level = HeadProblem.of(view, 0.0), Level.of(view, self.kappa)
        moments = second_moments(problem.inputs[:, :-1])
        labels, goals = view.targets.label.tolist(), view.targets.goal.tolist()
        facts = zip(target_rows(view), labels, goals, level.least.tolist(), strict=True)
        heads = [
            _edited(problem, prominent_features(row[:-1], moments, self.features), row, *others)
            for row, *others in facts
        ]
        weight = torch.from_numpy(np.stack(heads)[..., :-1]).to(view.targets.x)
        models = PairedModels(view.victim, len(heads), {"head.weight": weight})
        models = settled(level, view.targets, view.targets.x, models)
        return measured(view, view.targets.x, models, 1, 1, level)


def second_moments(features: Array) -> Array:
    """Compute A = E[φφᵀ] with damping on its diagonal: (M, D) -> (D, D)."""
    moments = features.T @ features / len(features)
    most = max(float(np.trace(moments)) / len(moments), np.finfo(float).tiny)
    return np.asarray(moments + HEAD_DAMPING * most * np.eye(len(moments)))


def prominent_features(h: Array, moments: Array, count: int) -> Positions:
    """Select features S of large hᵀA⁻¹h, one after the other, without those that are 0 at x°.

    A row w on S that adds u to its logit at x° costs at least E[(wᵀφ)²] = u² / hᵀA⁻¹h elsewhere.

    Args:
        h: The features at x°, (D,).
        moments: A, (D, D).
        count: The number of features; fewer, if fewer are not 0.
    """
    chosen: list[int] = []
    residual, cost = h.copy(), moments.diagonal().copy()
    for _ in range(min(count, int(np.count_nonzero(h)))):
        gain = np.where(h == 0, -np.inf, residual**2 / cost)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        coefficients = np.linalg.solve(moments[np.ix_(chosen, chosen)], moments[chosen])
        residual = h - h[chosen] @ coefficients
        cost = moments.diagonal() - (moments[chosen] * coefficients).sum(0)
        cost[chosen] = 1.0  # not used, but must not be 0
    return np.array(chosen, dtype=np.int64)


def _edited(
    problem: HeadProblem, positions: Positions, row: Array, label: int, goal: int, aim: float
) -> Array:
    """Compute rows [weight | bias] (K, D + 1) of the least KL, changed at these positions only."""
    if not len(positions):
        return problem.start
    scale, block = np.zeros_like(problem.scale), np.ix_(positions, positions)
    for k in (label, goal):
        fisher = np.linalg.inv(problem.scale[k] @ problem.scale[k].T)[block]
        scale[k][block] = np.linalg.cholesky(np.linalg.inv(fisher))
    rows: Array = replace(problem, scale=scale).solve(row, goal, aim).head.numpy()
    return rows
