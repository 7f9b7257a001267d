"""Targeted l∞ PGD of other packages, behind one signature and with equal work."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep, InputWalk

Run = Callable[[], Tensor]
Peer = Callable[[nn.Module, Tensor, Tensor, int, float, float, int], Run]
"""(model, images, goals, classes, eps, step, steps) -> a function that returns attacked images."""


def bare(model: nn.Module, x: Tensor, goal: Tensor, _: int, eps: float, step: float, n: int) -> Run:
    """Return the shortest loop: forward pass, backward pass, step and projection."""

    def attack() -> Tensor:
        moved = x
        for _ in range(n):
            leaf = moved.detach().requires_grad_()
            loss = nn.functional.cross_entropy(model(leaf), goal, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
            moved = moved - step * gradient.sign()
            moved = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
        return moved.detach()

    return attack


def foolbox(
    model: nn.Module, x: Tensor, goal: Tensor, _: int, eps: float, step: float, n: int
) -> Run:
    from foolbox import PyTorchModel
    from foolbox.attacks import LinfPGD
    from foolbox.criteria import TargetedMisclassification

    wrapped = PyTorchModel(model, bounds=(0, 1), device="cpu")
    attack = LinfPGD(abs_stepsize=step, steps=n, random_start=False)
    return lambda: attack.run(wrapped, x, TargetedMisclassification(goal), epsilon=eps)


def torchattacks(
    model: nn.Module, x: Tensor, goal: Tensor, _: int, eps: float, step: float, n: int
) -> Run:
    from torchattacks import PGD as TheirPGD

    attack = TheirPGD(model, eps=eps, alpha=step, steps=n, random_start=False)
    attack.set_mode_targeted_by_label(quiet=True)
    return lambda: attack(x, goal)


def art(
    model: nn.Module, x: Tensor, goal: Tensor, classes: int, eps: float, step: float, n: int
) -> Run:
    from art.attacks.evasion import ProjectedGradientDescentPyTorch
    from art.estimators.classification import PyTorchClassifier

    wrapped = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0, 1)
    )
    attack = ProjectedGradientDescentPyTorch(
        wrapped,
        eps=eps,
        eps_step=step,
        max_iter=n,
        targeted=True,
        batch_size=len(x),
        verbose=False,
    )
    images, goals = x.numpy(), goal.numpy()
    return lambda: torch.from_numpy(attack.generate(images, goals))


PEERS: dict[str, Peer] = {
    "bare loop": bare,
    "foolbox": foolbox,
    "torchattacks": torchattacks,
    "adversarial-robustness-toolbox": art,
}


def ours(view: AttackerView, kappa: float, eps: float, step: float, n: int) -> Run:
    """Return PGD of this project, which stops each target just above κ."""
    attack = PGD(InputStep(eps=eps, step=step / eps), kappa, rounds=n, exit="first")
    return lambda: attack(view).x


def our_steps(view: AttackerView, eps: float, step: float, n: int) -> Run:
    """Return the input steps without early stop: every step for every target, as peers do."""
    models = view.unchanged_models()

    def attack() -> Tensor:
        walk = InputWalk(InputStep(eps=eps, step=step / eps), view, eps)
        for _ in range(n):
            walk.climb(models, 1.0)
        return walk.x

    return attack
