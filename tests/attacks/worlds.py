"""Small worlds for attacks: victims with known answers, and attackers' views of them."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView, Reference, Targets
from evil_twins.attacks.efficacy import margin
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep

Generator = Callable[[int, str, int], torch.Generator]


class Network(nn.Module):
    """Two convolutions and a head on 6 by 6 grey images."""

    def __init__(self, classes: int = 4, width: int = 6) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(9 * width, 8),
            nn.ReLU(),
        )
        self.head = nn.Linear(8, classes)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Linear(nn.Module):
    """Logits linear in the pixels."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.head = nn.Linear(weight.shape[1], len(bias), dtype=weight.dtype)
        self.head.load_state_dict({"weight": weight, "bias": bias})
        self.requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def generator(i: int, purpose: str, turn: int) -> torch.Generator:
    digest = hashlib.sha256(f"{i}/{purpose}/{turn}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))


@lru_cache
def trained(dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Network, Tensor, Tensor]:
    """Train a network that finds the bright quadrant; return it with images and labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Network().to(dtype)
        label = torch.arange(160) % 4
        x = 0.3 * torch.rand(160, 1, 6, 6, dtype=dtype)
        for i, k in enumerate(label.tolist()):
            x[i, :, 3 * (k // 2) : 3 * (k // 2) + 3, 3 * (k % 2) : 3 * (k % 2) + 3] += 0.4
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(300):
            loss = nn.functional.cross_entropy(model(x), label)
            if loss < 0.03:  # sure, but not as sure as a network of this size could become
                break
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.zero_grad()
    return model.eval().requires_grad_(False), x, label


def view(n: int = 6, dtype: torch.dtype = torch.float32) -> AttackerView:
    """Attack the first n images; the rest is the reference."""
    model, x, label = trained(dtype)
    assert (model(x[:n]).argmax(1) == label[:n]).all()
    targets = Targets(x[:n], label[:n], (label[:n] + 1) % 4)
    return AttackerView(model, targets, Reference.of(model, x[40:], label[40:]), generator)


def linear_view(
    weight: Tensor,
    x: Tensor,
    n: int,
    reference: int = 0,
    generator: Generator = generator,
    bias: Tensor | None = None,
) -> AttackerView:
    """Attack the first n images under a linear victim; the reference is x[reference:]."""
    bias = torch.zeros(len(weight), dtype=weight.dtype) if bias is None else bias
    victim = Linear(weight, bias)
    label = victim(x).argmax(1)
    targets = Targets(x[:n], label[:n], (label[:n] + 1) % len(weight))
    benign = Reference.of(victim, x[reference:], label[reference:])
    return AttackerView(victim, targets, benign, generator)


def distance(view: AttackerView, attacked: Attacked, norm: norms.Norm = "linf") -> Tensor:
    """Compute ‖x* - x°‖, (N,)."""
    return norms.size(attacked.x - view.targets.x, norm)


def with_radii(view: AttackerView, kappa: float, norm: norms.Norm = "linf") -> AttackerView:
    """Add the smallest PGD radii at κ."""
    attack = PGD(InputStep(norm, eps=8.0 if norm == "l2" else 1.0), kappa)
    return replace(view, radii=distance(view, attack(view), norm))


def with_benign(view: AttackerView) -> AttackerView:
    """Add log-odds of images of the reference, another for each target; the surest are too sure."""
    logits = view.victim(view.reference.x).double()
    log_odds = margin(logits, view.reference.label).sort().values
    every = len(log_odds) // (2 * len(view.targets))
    return replace(view, benign_log_odds=log_odds[::every][: len(view.targets)].flip(0))


def with_trials(view: AttackerView) -> AttackerView:
    """Add images on which triggers end."""
    model, x, label = trained(view.targets.x.dtype)
    return replace(view, trials=Reference.of(model, x[10:40], label[10:40]))


def kl(view: AttackerView, models: PairedModels) -> Tensor:
    """Compute the mean KL(victim ‖ faced) on the reference, with one module for each model."""
    benign = view.victim(view.reference.x).log_softmax(1)
    faced = [models[i](view.reference.x).log_softmax(1) for i in range(len(models))]
    return torch.stack([(benign.exp() * (benign - z)).sum(1).mean() for z in faced])
