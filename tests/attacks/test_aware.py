"""IMC against detectors that it knows, on worlds of which a stealthy pair is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.aware import Aware, _Course
from evil_twins.attacks.base import Attacked, AttackerView, Logits
from evil_twins.attacks.head import RankOneHead
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.limits import Limits
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds

HEAD, ALL = ModelStep("head", delta=20.0), ModelStep("all", delta=20.0)
KAPPA = 0.75


@dataclass(frozen=True)
class Unsure:
    """Minus the largest log-probability: known to be at odds with a confidence of κ alone."""

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return -logits(x).log_softmax(-1).amax(-1)


@dataclass(frozen=True)
class Noisy(Unsure):
    """The same at one noisy copy."""

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        draws = [0.05 * torch.randn(x.shape[1:], generator=g) for g in generators]
        return super().__call__(logits, x + torch.stack(draws).to(x), generators)


@dataclass(frozen=True)
class Planted:
    """How far a pair is from a planted one; of benign images evenly from 0 to 1."""

    x: Tensor
    at: Tensor

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        if len(x) != len(self.x):
            ends = torch.linspace(0, 1, x.shape[1], dtype=x.dtype)
            return ends.expand(len(logits(x)), -1)
        far = (x - self.x.unsqueeze(1)).flatten(2).square().mean(2).sqrt()
        here = (logits(self.x.unsqueeze(1)) - self.at.unsqueeze(1)).square().mean(2).sqrt()
        return 20 * far + 0.5 * here


def _view(n: int = 4) -> AttackerView:
    view = worlds.view(n)
    found = PGD(InputStep(), KAPPA)(view)
    return replace(view, radii=norms.size(found.x - view.targets.x, "linf"))


def _planted(view: AttackerView) -> Planted:
    """A corner of each ball of half the radius, and a model that reaches κ there."""
    draw = torch.Generator().manual_seed(1)
    assert view.radii is not None
    towards = torch.randn(view.targets.x.shape, generator=draw).sign()
    x = (view.targets.x + 0.5 * norms.per_item(view.radii, towards) * towards).clamp(0, 1)
    models = RankOneHead(KAPPA + 0.05)(replace(view, targets=replace(view.targets, x=x))).models
    return Planted(x, models.logits(models.features(x.unsqueeze(1))).squeeze(1))


def _excess(view: AttackerView, found: Attacked, level: float = 0.9) -> Tensor:
    """By how much a pair breaks its limits, in their units, (N,)."""
    limits = Limits(view, KAPPA, level)
    limits.take(found.models, 99)
    return (-limits.room(found.models, found.x, 99)).clamp_min(0).sum(0).detach()


def test_a_planted_pair_is_found() -> None:
    view = _view()
    hard = replace(view, evade=(_planted(view),))
    oblivious = IMC(InputStep(), HEAD, KAPPA, phi=0.5)(view)
    assert (_excess(hard, oblivious, 0.5) > 1).all()
    # Two or three courses find it, as the processor rounds.
    found = Aware(InputStep(), HEAD, KAPPA, 0.5, courses=4, level=0.5)(hard)
    assert (_excess(hard, found, 0.5) == 0).all()


@pytest.mark.parametrize("model", [HEAD, replace(ALL, batch=32)], ids=["head", "all"])
def test_without_penalties_it_is_imc(model: ModelStep) -> None:
    view, rounds = _view(), 60 if model is HEAD else 15
    plain = IMC(InputStep(), model, KAPPA, rounds, phi=0.5)(view)
    found = Aware(InputStep(), model, KAPPA, 0.5, rounds)(view)
    assert view.radii is not None
    assert (found.confidence >= KAPPA).all()
    assert (found.models.distance() <= model.delta).all()
    far = norms.size(found.x - view.targets.x, "linf")
    assert (far <= 0.5 * view.radii * (1 + 1e-5)).all()
    kl, before = (worlds.kl(view, one.models) for one in (found, plain))
    assert (kl <= 1.05 * before).all()


@pytest.mark.parametrize("variant", ["lagrangian", "selective", "orthogonal"])
def test_a_detector_is_evaded_at_a_price_within_the_limits(variant: str) -> None:
    view = replace(_view(), evade=(Unsure(),))
    oblivious = IMC(InputStep(), HEAD, KAPPA, phi=0.5)(view)
    found = Aware(InputStep(), HEAD, KAPPA, 0.5, variant=variant)(view)  # type: ignore[arg-type]
    assert (_excess(view, oblivious) > 0).all()
    assert (_excess(view, found) <= 0.25).all()
    assert (found.confidence >= KAPPA).all()
    assert (worlds.kl(view, found.models) > worlds.kl(view, oblivious.models)).all()
    far = norms.size(found.x - view.targets.x, "linf")
    assert view.radii is not None
    assert (far <= 0.5 * view.radii * (1 + 1e-5)).all()


def test_variants_take_other_ways() -> None:
    view = replace(_view(), evade=(Noisy(), Unsure()))
    variants = ("lagrangian", "selective", "orthogonal")
    first, second, third = (
        Aware(InputStep(), HEAD, KAPPA, 0.5, 30, variant=variant)(view).models.distance()
        for variant in variants
    )
    for one, other in ((first, second), (first, third), (second, third)):
        assert not torch.allclose(one, other, rtol=1e-3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_phi_the_input_has_all_of_its_ball(norm: norms.Norm) -> None:
    view = replace(worlds.view(4), evade=(Unsure(),))
    step = InputStep(norm, eps=0.1 if norm == "linf" else 0.5)
    attack = Aware(step, HEAD, KAPPA)
    assert attack.nature.radii is None
    found = attack(view)
    far = norms.size(found.x - view.targets.x, norm)
    assert (far <= step.eps * (1 + 1e-5)).all()
    assert (_excess(view, found) <= 0.25).all()


@pytest.mark.parametrize("restart", ["best", "random"])
def test_neither_more_steps_nor_more_courses_ever_hurt(restart: str) -> None:
    view = replace(_view(), evade=(Noisy(), Unsure()))
    attack = Aware(InputStep(), HEAD, KAPPA, 0.5, 20, 3, restart)  # type: ignore[arg-type]
    first = IMC(attack.input, attack.model, KAPPA, 20, phi=0.5)(view)
    course, ends = _Course(attack, view, first), []
    for turn in range(attack.courses):
        course.restart(turn)
        for k in range(attack.rounds):
            before = course.best.merit.clone()
            course.step(1 - k / attack.rounds)
            assert (course.best.merit >= before).all()
        ends.append(course.best.merit.clone())
    assert (ends[-1] > ends[0]).any() or restart == "random"


def test_courses_begin_at_the_best_pair_or_at_other_inputs_of_the_ball() -> None:
    view = replace(_view(), evade=(Unsure(),))
    origin = view.targets.x
    for restart in ("best", "random"):
        attack = Aware(InputStep(), HEAD, KAPPA, 0.5, 5, 3, restart)  # type: ignore[arg-type]
        course = _Course(attack, view, IMC(attack.input, HEAD, KAPPA, 5, phi=0.5)(view))
        begun = []
        for turn in range(3):
            course.restart(turn)
            begun.append(course.x)
            assert (norms.size(course.x - origin, "linf") <= course.radius * (1 + 1e-5)).all()
        assert torch.equal(begun[0], course.best.x)
        for x in begun[1:]:
            assert torch.equal(x, course.best.x) == (restart == "best")
        assert torch.equal(begun[1], begun[2]) == (restart == "best")


def test_a_model_that_may_not_move_leaves_all_to_the_input() -> None:
    view = replace(_view(), evade=(Unsure(),))
    still = replace(HEAD, delta=0.0)
    found = Aware(InputStep(eps=0.5), still, KAPPA, rounds=60)(view)
    assert float(found.models.distance().max()) == 0
    assert (_excess(view, found) <= 0.25).all()


def test_thresholds_are_taken_under_the_faced_models_or_the_victim() -> None:
    view = replace(_view(), evade=(Unsure(),))
    facing = [
        Aware(InputStep(), HEAD, 0.9, 0.25, 30, level=0.6, facing=one)(view)  # type: ignore[arg-type]
        for one in ("current", "victim")
    ]
    kl = [worlds.kl(view, one.models) for one in facing]
    assert not torch.equal(*kl)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"phi": 1.5}, "between 0 and 1"),
        ({"kappa": 0.0}, "between 0 and 1"),
        ({"level": 1.0}, "a level between 0 and 1"),
        ({"courses": 0}, "courses >= 1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changed: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Aware(**{"input": InputStep(), "model": HEAD, "kappa": KAPPA, **changed})  # type: ignore[arg-type]


def test_phi_needs_radii() -> None:
    with pytest.raises(ValueError, match=r"view\.radii"):
        Aware(InputStep(), HEAD, KAPPA, 0.5)(worlds.view(2))


@pytest.mark.parametrize("phi", [0.25, 0.75])
def test_who_does_not_know_the_detectors_is_never_stealthier(phi: float) -> None:
    view = replace(_view(), evade=(Noisy(), Unsure()))
    oblivious = IMC(InputStep(), HEAD, KAPPA, 30, phi=phi)(view)
    found = Aware(InputStep(), HEAD, KAPPA, phi, 30, facing="victim")(view)
    limits = Limits(view, KAPPA, 0.9)
    before, after = (
        (-limits.judged(one.models, one.x)).clamp_min(0).sum(0) for one in (oblivious, found)
    )
    assert (after <= before + 1e-5).all()
    assert (after < before).any()


def test_pairs_are_judged_by_noise_that_no_step_follows() -> None:
    asked: list[tuple[str, int]] = []

    def noted(i: int, purpose: str, turn: int) -> torch.Generator:
        asked.append((purpose, turn))
        return worlds.generator(i, purpose, turn)

    view = replace(_view(), evade=(Noisy(),), generator=noted)
    limits, models = Limits(view, KAPPA, 0.9), PairedModels(view.victim, 4, {})
    first = limits.judged(models, view.targets.x)
    mine = set(asked)
    asked.clear()
    limits.room(models, view.targets.x, 0)
    assert mine.isdisjoint(asked)
    assert torch.equal(limits.judged(models, view.targets.x), first)
