"""The last layer edited in a few weights, after TA-LBF (Bai et al., ICLR 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.efficacy import refuse
from evil_twins.attacks.head import Array, HeadProblem, attacked, rows_of
from evil_twins.attacks.steps.fisher import HEAD_DAMPING

Places = NDArray[np.int64]


@dataclass(frozen=True)
class FewWeights:
    """Model only: two weights of the last layer for each of a few features, the least KL for κ.

    TA-LBF flips a few bits of the weights in the rows of the label and of the goal, by ADMM between
    the error at x° and the cross entropy of other inputs. This is its real-valued form in the words
    of this project: a weight takes any value, κ is a constraint, KL on the reference is kept small.
    Which features is said by those that, weighed together, stand out most at x° from what they are
    on the reference; in their weights the problem is convex and solved to the optimum.

    Attributes:
        kappa: The required efficacy.
        features: How many; ‖θ - θ°‖₀ is twice as large.
    """

    kappa: float
    features: int = 4

    def __post_init__(self) -> None:
        refuse(self.kappa)
        if self.features < 1:
            raise ValueError(f"features is {self.features}; at least 1 was expected")

    @property
    def nature(self) -> Nature:
        """What it moves and how far, and what it needs."""
        return Nature("model", phi=0.0, layers="head")

    def __call__(self, view: AttackerView) -> Attacked:
        """Attack every target; x* is x°.

        A target whose features are all 0, of which no weight changes anything, keeps the victim.
        """
        problem = HeadProblem.of(view, self.kappa, 0.0)
        moments = second_moments(problem.inputs[:, :-1])
        labels, goals = view.targets.label.tolist(), view.targets.goal.tolist()
        heads = [
            _edited(problem, row, standing_out(row[:-1], moments, self.features), label, goal)
            for row, label, goal in zip(rows_of(view), labels, goals, strict=True)
        ]
        weight = torch.from_numpy(np.stack(heads)[..., :-1]).to(view.targets.x)
        return attacked(view, {"head.weight": weight}, self.kappa)


def second_moments(features: Array) -> Array:
    """A = E[φφᵀ] with a little on its diagonal: (M, D) -> (D, D)."""
    moments = features.T @ features / len(features)
    most = max(float(np.trace(moments)) / len(moments), np.finfo(float).tiny)
    return np.asarray(moments + HEAD_DAMPING * most * np.eye(len(moments)))


def standing_out(own: Array, moments: Array, count: int) -> Places:
    """Features S of which hᵀA⁻¹h is large, found one by one; those that are 0 at x° left out.

    A row w on S that adds u to its logit at x° costs at least E[(wᵀφ)²] = u² / hᵀA⁻¹h elsewhere.

    Args:
        own: h, the features at x°, (D,).
        moments: A, (D, D).
        count: How many features, or as many as are not 0.
    """
    chosen: list[int] = []
    rest, cost = own.copy(), moments.diagonal().copy()
    for _ in range(min(count, int(np.count_nonzero(own)))):
        gain = np.where(own == 0, -np.inf, rest**2 / cost)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
        seen = np.linalg.solve(moments[np.ix_(chosen, chosen)], moments[chosen])
        rest = own - own[chosen] @ seen
        cost = moments.diagonal() - (moments[chosen] * seen).sum(0)
        cost[chosen] = 1.0  # no longer asked for
    return np.array(chosen, dtype=np.int64)


def _edited(problem: HeadProblem, row: Array, places: Places, label: int, goal: int) -> Array:
    """The rows [weight | bias] (K, D + 1) of the least KL that differ from θ° at these places."""
    if not len(places):
        return problem.start
    scale, at = np.zeros_like(problem.scale), np.ix_(places, places)
    for k in (label, goal):
        fisher = np.linalg.inv(problem.scale[k] @ problem.scale[k].T)[at]
        scale[k][at] = np.linalg.cholesky(np.linalg.inv(fisher))
    rows: Array = replace(problem, scale=scale).solve(row, goal).head.numpy()
    return rows
