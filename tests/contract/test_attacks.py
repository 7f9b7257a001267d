"""What every attack must keep, whatever it does."""

from dataclasses import replace

import pytest
import torch

from attacks import ATTACKS
from attacks.aware import Aware
from attacks.base import Attack, Attacked, AttackerView
from attacks.bisection import Bisection
from attacks.controls import FineTuning, Noise, Untouched
from attacks.fab import FAB
from attacks.head import ConvexHead, RankOneHead
from attacks.imc import IMC
from attacks.norms import size
from attacks.pgd import PGD, InputStep
from attacks.poisoning import ModelStep, Poisoning
from attacks.proposition import Proposition
from attacks.within import Within
from tests.attacks import worlds

LINF, L2 = InputStep(), InputStep("l2", eps=8.0)
HEAD = ModelStep("head", delta=20.0, batch=64)
ALL = ModelStep("all", delta=20.0, batch=64)

VARIANTS: dict[str, list[Attack]] = {
    "pgd": [PGD(LINF, 0.75), PGD(L2, 0.9), PGD(LINF, 0.75, 50, "first")],
    "pgd-bisection": [Bisection(LINF, 0.75, rounds=15, restarts=1, halvings=6)],
    "fab": [FAB("linf", 0.75, rounds=40), FAB("l2", 0.75, rounds=40)],
    "poisoning": [
        Poisoning(HEAD, 0.75),
        Poisoning(ALL, 0.75, 10),
        Poisoning(HEAD, 0.9, 60, "first"),
    ],
    "imc": [
        IMC(LINF, HEAD, 0.75, phi=0.5),
        IMC(L2, HEAD, 0.75, phi=0.5),
        IMC(LINF, ALL, 0.75, 10, phi=0.5),
        IMC(LINF, HEAD, 0.75, lam=0.01),
        IMC(LINF, HEAD, 0.75, 60, "first", phi=0.5),
    ],
    "aware": [
        Aware(LINF, HEAD, 0.75, 0.5, 30),
        Aware(L2, HEAD, 0.75, rounds=30),
        Aware(LINF, ALL, 0.75, 0.5, 8, courses=2, variant="selective"),
    ],
    "rank-one-head": [RankOneHead(0.75)],
    "convex-head": [ConvexHead(0.75)],
    "untouched": [Untouched()],
    "noise": [Noise(LINF, 0.75), Noise(L2, 0.75)],
    "fine-tuning": [FineTuning("head", steps=5), FineTuning("all", steps=5)],
}
BY_MODULE: dict[str, list[Attack]] = {
    "within": [
        Within(LINF, HEAD, 0.75, 0.5, 0.5, rounds=20),
        Within(L2, HEAD, 0.75, 0.5, 0.5, "shortest", rounds=20),
        Within(LINF, ALL, 0.75, 0.5, 0.1, rounds=5),
        Within(LINF, HEAD, 0.75, 0.0, 0.0),
    ],
    "proposition": [
        Proposition(LINF, HEAD, 0.75, "none", steps=10, restarts=2),
        Proposition(L2, HEAD, 0.75, "gradient", steps=10, restarts=2),
        Proposition(LINF, HEAD, 0.75, "random", steps=10, restarts=2),
    ],
}
"""What suites name by module, as "attacks.within:Within"."""

EVERY = [
    pytest.param(one, id=f"{name}-{i}")
    for name, variants in (VARIANTS | BY_MODULE).items()
    for i, one in enumerate(variants)
]


def _view(attack: Attack, n: int = 4) -> AttackerView:
    view = worlds.view(n)
    unit = attack.radii_from
    if unit is None:
        return view
    return replace(view, radii=size(unit(view).x - view.targets.x, unit.input.norm))


def _state(view: AttackerView) -> list[torch.Tensor]:
    named = [p.clone() for p in view.victim.parameters()]  # type: ignore[attr-defined]
    own = (view.targets.x, view.targets.goal, view.reference.x, view.reference.label)
    return [*named, *(value.clone() for value in own)]


def test_every_registered_attack_has_its_variants() -> None:
    assert set(VARIANTS) == set(ATTACKS)


@pytest.mark.parametrize("attack", EVERY)
def test_contract(attack: Attack) -> None:
    view = _view(attack)
    before, random = _state(view), torch.get_rng_state()
    found = attack(view)
    assert torch.equal(torch.get_rng_state(), random)
    for old, new in zip(before, _state(view), strict=True):
        assert torch.equal(old, new)
    for p in view.victim.parameters():  # type: ignore[attr-defined]
        assert p.grad is None
        assert not p.requires_grad
    _sound(found, view)
    again = attack(view)
    assert torch.equal(found.x, again.x)
    for name, value in found.models.parameters.items():
        assert torch.equal(value, again.models.parameters[name])


def _sound(found: Attacked, view: AttackerView) -> None:
    n = len(view.targets)
    assert found.x.shape == view.targets.x.shape
    assert found.x.dtype == view.targets.x.dtype
    assert not found.x.requires_grad
    assert float(found.x.min()) >= 0
    assert float(found.x.max()) <= 1
    assert len(found.models) == n
    assert found.confidence.shape == found.rounds.shape == found.passes.shape == (n,)
    for i in range(n):
        p = found.models[i](found.x[i : i + 1]).softmax(1)[0, view.targets.goal[i]]
        assert float(p) == pytest.approx(float(found.confidence[i]), abs=1e-5)
    for value in found.models.parameters.values():
        assert not value.requires_grad


@pytest.mark.parametrize("attack", EVERY)
def test_a_target_does_not_depend_on_the_others(attack: Attack) -> None:
    view = _view(attack)
    together = attack(view)
    for i in (0, 3):
        one = slice(i, i + 1)
        targets = replace(
            view.targets,
            x=view.targets.x[one],
            label=view.targets.label[one],
            goal=view.targets.goal[one],
        )

        def shifted(j: int, purpose: str, turn: int, i: int = i) -> torch.Generator:
            return worlds.generator(i + j, purpose, turn)

        radii = None if view.radii is None else view.radii[one]
        alone = attack(replace(view, targets=targets, generator=shifted, radii=radii))
        # sign() amplifies rounding: success and distances are compared, not pixels.
        assert float(alone.confidence) == pytest.approx(float(together.confidence[i]), abs=5e-3)
        far = [size(a.x - t, "linf") for a, t in ((alone, targets.x), (together, view.targets.x))]
        assert float(far[0]) == pytest.approx(float(far[1][i]), rel=0.1, abs=2e-3)
        moved = (float(alone.models.distance()), float(together.models.distance()[i]))
        assert moved[0] == pytest.approx(moved[1], rel=0.1, abs=2e-3)
