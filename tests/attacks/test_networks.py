"""Attacks on networks of others: real architectures, random weights, small images, 3 classes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from evil_twins.attacks.base import Attack, AttackerView, Reference, Targets
from evil_twins.attacks.controls import FineTuning, Noise
from evil_twins.attacks.few_weights import FewWeights
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import LogitAnchoring, Poisoning
from evil_twins.attacks.steps import metric
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.treatment import Others, layer_kinds
from evil_twins.attacks.yardsticks.bisection import Bisection
from evil_twins.attacks.yardsticks.within import Within
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.networks.structure import analyse, split
from tests.attacks import worlds

CLASSES = 3


def of_torchvision(name: str, **options: Any) -> nn.Module:
    from torchvision import models

    net: nn.Module = getattr(models, name)(num_classes=CLASSES, **options)
    return net


def of_timm(name: str, **options: Any) -> nn.Module:
    timm = pytest.importorskip("timm")
    net: nn.Module = timm.create_model(name, num_classes=CLASSES, **options)
    return net


def transformer(side: int) -> nn.Module:
    options = {"patch_size": side // 4, "embed_dim": 12, "depth": 1, "num_heads": 2}
    return of_timm("vit_tiny_patch16_224", img_size=side, **options)


def convolution_as_head(_: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"),
        nn.SiLU(inplace=True),
        nn.Conv2d(8, 16, 3, 2, 1, groups=4, bias=False),
        nn.GroupNorm(2, 16),
        nn.Hardswish(inplace=True),
        nn.Conv2d(16, CLASSES, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def unfolded(_: int) -> nn.Module:
    """Dropout, and batch-norm that follows no convolution."""
    return nn.Sequential(
        nn.BatchNorm2d(3),
        nn.Conv2d(3, 8, 3, 2),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.LazyLinear(8),
        nn.BatchNorm1d(8),
        nn.LeakyReLU(inplace=True),
        nn.Linear(8, CLASSES),
    )


def vgg_of_small_images(_: int) -> nn.Module:
    """Without the layers of 100 million weights that the stock network has for large images."""
    net: Any = of_torchvision("vgg11_bn")
    net.avgpool = nn.Identity()
    net.classifier = nn.Sequential(
        nn.Linear(512, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, CLASSES)
    )
    return net  # type: ignore[no-any-return]


SMALL: dict[str, Callable[[int], nn.Module]] = {
    "transformer": transformer,
    "convolution as head": convolution_as_head,
    "dropout and batch-norm": unfolded,
}
LARGE: dict[str, Callable[[int], nn.Module]] = {
    "mobilenet_v3_small": lambda _: of_torchvision("mobilenet_v3_small"),
    "convnext_tiny": lambda _: of_torchvision("convnext_tiny"),
    "efficientnet_b0": lambda _: of_torchvision("efficientnet_b0"),
    "vgg11_bn": vgg_of_small_images,
    "densenet121": lambda _: of_torchvision("densenet121"),
    "swin_t": lambda _: of_torchvision("swin_t"),
    "timm:vit_tiny": lambda side: of_timm("vit_tiny_patch16_224", img_size=side),
}


def view(build: Callable[[int], nn.Module], side: int, reference: int) -> AttackerView:
    """Attack two images of random noise; batch-norm has the statistics of the reference."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.rand(reference + 2, 3, side, side)
        net = build(side).train()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            net(x)
    net = net.eval().requires_grad_(False)
    trunk, head = split(net, analyse(net, x[:4]), CLASSES)
    mean, std = torch.zeros(3), torch.ones(3)
    victim = Classifier("net", (3, side, side), trunk, head, mean, std).eval().requires_grad_(False)
    label = victim(x).argmax(1)
    targets = Targets(x[:2], label[:2], (label[:2] + 1) % CLASSES)
    return AttackerView(victim, targets, Reference.of(victim, x[2:], label[2:]), worlds.generator)


def attacked(case: AttackerView, attack: Attack) -> torch.Tensor:
    """Attack, check that all numbers are finite, and return the KL on the reference.

    A few rounds may take an input in a random network below its first confidence; a model moves up.
    """
    goal = case.targets.goal
    before = case.unchanged_models().confidence(case.targets.x, goal)
    result = attack(case)
    assert result.x.isfinite().all()
    assert result.confidence.isfinite().all()
    assert attack.nature.moves != "model" or (result.confidence > before).all()
    assert all(value.isfinite().all() for value in result.models.parameters.values())
    kl = worlds.kl(case, result.models)
    assert kl.isfinite().all()
    return kl


def check(case: AttackerView, step: ModelStep, rounds: int, kappa: float = 0.75) -> None:
    """Attack inputs, models and both, and check the metric."""
    walk = ModelWalk(step, case)
    slopes = {n: torch.ones_like(v) for n, v in walk.models.parameters.items()}
    steps = walk.fisher(slopes)
    assert steps.keys() == slopes.keys()
    assert all(value.isfinite().all() for value in steps.values())
    with_radii = replace(case, radii=torch.full((2,), 8 / 255))
    joint = IMC(InputStep(), step, kappa, rounds, phi=0.5)
    for attack in (PGD(InputStep(), kappa, rounds), Poisoning(step, kappa, rounds), joint):
        attacked(with_radii, attack)


@pytest.mark.parametrize("others", ["diagonal", "frozen"])
@pytest.mark.parametrize("name", SMALL)
def test_attacks_work_on_small_networks(name: str, others: Others) -> None:
    case, step = view(SMALL[name], 8, 24), ModelStep("all", others=others)
    check(case, step, rounds=3)
    few, many = (attacked(case, Poisoning(step, 0.75, rounds)) for rounds in (8, 24))
    assert (many < few).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_attacks_work_on_networks_of_packages(name: str) -> None:
    check(view(LARGE[name], 32, 12), ModelStep("all", batch=8), rounds=3)


def test_a_network_without_a_last_layer_moves_all_others() -> None:
    case = view(SMALL["convolution as head"], 8, 24)
    assert layer_kinds(case.victim, case.reference.x) == {
        "trunk.0": "kronecker",
        "trunk.2": "kronecker",
        "trunk.3": "diagonal",
        "trunk.5": "kronecker",
    }
    step, radii = ModelStep("all", batch=12), torch.full((2,), 8 / 255)
    with_radii = replace(case, radii=radii)
    for attack in (
        Poisoning(replace(step, serves=2), 0.75, 4),
        LogitAnchoring(step, 0.75, 4),
        Within(InputStep(), step, 0.75, 0.5, 0.5, rounds=4),
        Bisection(InputStep(), 0.75, rounds=5, halvings=2),
    ):
        attacked(with_radii, attack)
    tuned = FineTuning(steps=2, batch=8)(case)
    assert not any(name.startswith("head") for name in tuned.models.parameters)
    assert Noise(InputStep(), 0.75)(with_radii).models.layers == "none"
    assert (tuned.models.distance() > 0).all()


def test_an_attack_on_a_last_layer_that_does_not_exist_is_refused() -> None:
    case = view(SMALL["convolution as head"], 8, 24)
    for attack in (Poisoning(ModelStep("head"), 0.75), FewWeights(0.75)):
        with pytest.raises(ValueError, match="has no last layer that may move"):
            attack(case)


def test_what_is_frozen_does_not_move() -> None:
    case = view(SMALL["transformer"], 8, 24)
    models, treatment = metric.start(case, "all", "frozen")
    assert "trunk.pos_embed" in treatment.frozen
    assert not set(treatment.frozen) & set(models.parameters)
    moved = Poisoning(ModelStep("all", others="frozen"), 0.75, 2)(case).models
    assert set(moved.parameters) == set(models.parameters)
