"""Triggers: closed forms under linear victims, identities of the corners, success rates."""

from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from evil_twins.attacks import success
from evil_twins.attacks.backdoor import Backdoor
from evil_twins.attacks.base import Attack, Attacked, AttackerView, Reference, Targets
from evil_twins.attacks.stamps import FixedTrigger
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.trigger import TriggerStep
from evil_twins.attacks.success import RATE, goal_margins
from evil_twins.attacks.trigger_imc import TriggerIMC
from evil_twins.attacks.trigger_loop import goals_of
from evil_twins.attacks.universal import Universal
from tests.attacks import worlds

HEAD, ALL = ModelStep("head", delta=20.0), ModelStep("all", delta=20.0, batch=64)
STEP = TriggerStep(batch=64)


def view(goals: tuple[int, ...] = (1, 3), serves: int = 2) -> AttackerView:
    """Attack images of other classes than the goals; trials are images of the reference."""
    model, x, label = worlds.trained(torch.float64)
    places: list[int] = []
    for goal in goals:
        others = (i for i in range(len(x)) if label[i] != goal and i not in places)
        places += [next(others) for _ in range(serves)]
    aims = torch.tensor(goals).repeat_interleave(serves)
    targets = Targets(x[places], label[places], aims)
    trials = Reference.of(model, x[40:100], label[40:100])
    benign = Reference.of(model, x[100:], label[100:])
    return AttackerView(model, targets, benign, worlds.generator, trials=trials)


@lru_cache(maxsize=1)
def with_radii() -> AttackerView:
    """Add the radii of the smallest triggers."""
    return replace(view(), radii=sizes(Universal(STEP, 40, serves=2)(view())))


def sizes(result: Attacked) -> Tensor:
    """Compute the ‖p‖∞ that each target carries, (N,)."""
    assert result.stamp is not None
    return result.stamp.pattern.abs().flatten(1).amax(1).repeat_interleave(result.serves)


def rates(view: AttackerView, result: Attacked) -> Tensor:
    """Measure the success rates of the triggers, image by image."""
    assert result.stamp is not None
    assert view.trials is not None
    shares = []
    for g, goal in enumerate(view.targets.goal[:: result.serves]):
        others = view.trials.x[view.trials.label != goal]
        stamped = result.stamp.rows(torch.tensor([g]))(others.unsqueeze(0)).squeeze(0)
        shares.append((result.models[g * result.serves](stamped).argmax(1) == goal).double().mean())
    return torch.stack(shares)


def linear(n: int = 60) -> AttackerView:
    """Two classes that a sum of pixels with weights of both signs separates, far from the box."""
    draws = torch.Generator().manual_seed(0)
    w = torch.randn(36, generator=draws, dtype=torch.float64)
    w -= w.mean()
    x = 0.5 + 0.1 * torch.randn(n, 1, 6, 6, generator=draws, dtype=torch.float64).clamp(-3, 3)
    victim = worlds.Linear(torch.stack([w, -w]), torch.zeros(2, dtype=torch.float64))
    images = Reference.of(victim, x, victim(x).argmax(1))
    places = (images.label == 0).nonzero().flatten()[:2]
    targets = Targets(x[places], images.label[places], torch.tensor([1, 1]))
    return AttackerView(victim, targets, images, worlds.generator, trials=images)


def test_of_a_linear_victim_the_smallest_trigger_has_a_closed_form() -> None:
    """Every margin rises by 2 r ‖w‖₁; the one that `RATE` of the others exceed must be 0."""
    world = linear()
    result = Universal(TriggerStep(batch=60), 60, serves=2)(world)
    w, images = world.victim.head.weight[1], world.reference
    margins = goal_margins(
        world.victim(images.x[images.label == 0]).unsqueeze(0), torch.tensor([1])
    )
    lowest = margins.flatten().sort().values[int((1 - RATE) * margins.numel() + 1e-9)]
    beyond = 2 * float(sizes(result)[0]) * w.abs().sum() + lowest
    assert success.AIM[0] <= float(beyond) <= success.AIM[1]
    assert result.models.layers == "none"
    assert torch.equal(result.stamp.pattern.sign().flatten(), w.sign())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "attack",
    [
        Universal(STEP, 40, serves=2),
        TriggerIMC(STEP, HEAD, 0.5, 40, serves=2),
        TriggerIMC(STEP, ALL, 0.5, 15, serves=2),
        Backdoor(FixedTrigger("patch", side=0.3), HEAD, 40, serves=2),
        Backdoor(FixedTrigger("blend", 0.3), HEAD, 40, serves=2),
        Backdoor(FixedTrigger("sine", 0.3, waves=2), ALL, 15, serves=2),
        Backdoor(FixedTrigger("noise"), HEAD, 40, serves=2, phi=0.75),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_every_trigger_ends_at_the_rate_on_images_it_never_saw(attack: Attack) -> None:
    world = with_radii()
    result = attack(world)
    assert result.stamp is not None
    counts = [(world.trials.label != t).sum() for t in (1, 3)]  # type: ignore[union-attr]
    grain = 1 / float(min(counts))
    for rate in rates(world, result):
        assert RATE <= float(rate) < RATE + max(0.01, grain)
    stamped = result.stamp(world.targets.x.unflatten(0, (2, 2))).flatten(0, 1)
    torch.testing.assert_close(result.x, stamped, rtol=0, atol=0)
    assert (result.rounds >= 0).all()


def test_the_corners_are_the_pure_attacks_bit_for_bit() -> None:
    world = with_radii()
    frozen = TriggerStep(steps=0, batch=64)
    pairs: list[tuple[Attack, Attack]] = [
        (TriggerIMC(STEP, HEAD, 1.0, 40, serves=2), Universal(STEP, 40, serves=2)),
        (TriggerIMC(STEP, ModelStep(delta=0), 0.5, 40, serves=2), Universal(STEP, 40, serves=2)),
        (
            TriggerIMC(frozen, HEAD, 0.5, 40, serves=2),
            Backdoor(FixedTrigger("noise"), HEAD, 40, 2, 64, 0.5),
        ),
    ]
    for joint, pure in pairs:
        first, second = joint(world), pure(world)
        assert torch.equal(first.x, second.x)
        assert first.models.parameters.keys() == second.models.parameters.keys()
        for name, value in first.models.parameters.items():
            assert torch.equal(value, second.models.parameters[name])
        assert joint.nature.trigger
        assert pure.nature.trigger


def test_the_size_of_a_joint_trigger_is_its_share_of_the_smallest() -> None:
    world = with_radii()
    for attack in (TriggerIMC(STEP, HEAD, 0.5, 10, 2), TriggerIMC(STEP, ALL, 0.5, 5, 2)):
        torch.testing.assert_close(sizes(attack(world)), 0.5 * world.required_radii())


def test_a_bent_trigger_costs_less_than_a_fixed_one_of_its_size() -> None:
    world = with_radii()
    joint = TriggerIMC(STEP, HEAD, 0.75, 60, serves=2)(world)
    fixed = TriggerIMC(replace(STEP, steps=0), HEAD, 0.75, 60, serves=2)(world)
    assert (worlds.kl(world, joint.models) < worlds.kl(world, fixed.models)).all()


def test_a_trigger_does_not_depend_on_others_of_its_cell() -> None:
    both, first = view(), view((1,))
    attack = Backdoor(FixedTrigger("patch", side=0.3), HEAD, 20, serves=2)
    together, single = attack(both), attack(first)
    assert torch.equal(together.x[:2], single.x)
    for name, value in single.models.parameters.items():
        torch.testing.assert_close(together.models.parameters[name][:2], value)


def test_a_model_that_may_not_move_enough_misses_the_rate() -> None:
    weak = Backdoor(FixedTrigger("patch", side=0.3), replace(HEAD, delta=0.001), 10, serves=2)
    result = weak(view())
    assert (result.rounds == -1).all()
    assert (rates(view(), result) < RATE).all()
    assert (result.models.distance() <= 0.001 * (1 + 1e-6)).all()


def test_the_smallest_trigger_stays_within_its_bound() -> None:
    world = view()
    largest = 0.9 * float(sizes(Universal(STEP, 40, serves=2)(world)).min())
    bounded = Universal(replace(STEP, eps=largest), 40, serves=2)(world)
    assert (sizes(bounded) <= largest * (1 + 1e-9)).all()


def test_a_model_that_may_not_move_stays_the_victim() -> None:
    result = Backdoor(FixedTrigger("patch", side=0.3), replace(HEAD, delta=0.0), 3, 2)(view())
    assert (result.models.distance() == 0).all()
    assert all(value.isfinite().all() for value in result.models.parameters.values())
    assert (result.rounds == -1).all()


def test_a_fixed_trigger_has_the_size_that_a_bent_one_of_its_parameters_has() -> None:
    for step in (replace(STEP, eps=0.2), replace(STEP, eps=0.2, steps=0)):
        nature = TriggerIMC(step, HEAD, 0.5, serves=2).nature
        assert nature.radii == Universal(replace(STEP, eps=0.2), serves=2)
        assert nature.eps == 0.2


def test_targets_of_one_trigger_need_one_goal() -> None:
    with pytest.raises(ValueError, match=r"several goals.*set targets.same_goal to 4"):
        goals_of(view(), 4)
    with pytest.raises(ValueError, match="divisor of 4"):
        goals_of(view(), 3)
    with pytest.raises(ValueError, match=r"view\.trials"):
        Universal(STEP, 2, serves=2)(replace(view(), trials=None))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FixedTrigger(strength=0), "0 < strength <= 1"),
        (lambda: FixedTrigger("patch", side=2), "0 < side <= 1"),
        (lambda: TriggerStep(batch=1), "batch >= 2"),
        (lambda: Universal(STEP, 0), "rounds >= 1"),
        (lambda: Universal(replace(STEP, steps=0)), "steps >= 1"),
        (lambda: TriggerIMC(replace(STEP, steps=0), HEAD, 1.0), "steps >= 1"),
        (lambda: TriggerIMC(STEP, HEAD, 0.0), "phi is 0"),
        (lambda: TriggerIMC(STEP, replace(HEAD, serves=2), 0.5), "serves is only for"),
        (lambda: Backdoor(FixedTrigger("patch"), HEAD, phi=0.5), 'kind "noise"'),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make, words: str) -> None:  # type: ignore
    with pytest.raises(ValueError, match=words):
        make()
