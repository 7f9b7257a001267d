"""IMC against detectors that it knows, on worlds with a known stealthy pair."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from evil_twins.attacks import aware, norms
from evil_twins.attacks.aware import Aware, _Pairs
from evil_twins.attacks.base import Attacked, AttackerView, Logits, Penalty
from evil_twins.attacks.head import RankOneHead
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.limits import Limits
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds

HEAD, ALL = ModelStep("head", delta=20.0), ModelStep("all", delta=20.0)
KAPPA = 0.75


@dataclass(frozen=True)
class Unsure:
    """Minus the largest log-probability, which is high at a confidence of κ."""

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        return -logits(x).log_softmax(-1).amax(-1)


@dataclass(frozen=True)
class Noisy(Unsure):
    """The same penalty of one noisy copy."""

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        draws = [0.05 * torch.randn(x.shape[1:], generator=g) for g in generators]
        return super().__call__(logits, x + torch.stack(draws).to(x), generators)


@dataclass(frozen=True)
class Planted:
    """The distance of a pair from a planted one; benign images get values from 0 to 1, evenly."""

    x: Tensor
    logits: Tensor

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        if len(x) != len(self.x):
            ends = torch.linspace(0, 1, x.shape[1], dtype=x.dtype)
            return ends.expand(len(logits(x)), -1)
        input = (x - self.x.unsqueeze(1)).flatten(2).square().mean(2).sqrt()
        model = (logits(self.x.unsqueeze(1)) - self.logits.unsqueeze(1)).square().mean(2).sqrt()
        return 20 * input + 0.5 * model


def _view(*evade: Penalty) -> AttackerView:
    view = worlds.with_radii(worlds.view(4), KAPPA)
    return replace(view, evade=evade)


def _planted(view: AttackerView) -> Planted:
    """Return a corner of each ball of half the radius, and a model that reaches κ there."""
    draw = torch.Generator().manual_seed(1)
    towards = torch.randn(view.targets.x.shape, generator=draw).sign()
    radii = norms.per_item(view.required_radii(), towards)
    x = (view.targets.x + 0.5 * radii * towards).clamp(0, 1)
    models = RankOneHead(KAPPA + 0.05)(replace(view, targets=replace(view.targets, x=x))).models
    return Planted(x, models.logits_at(x))


def _excess(view: AttackerView, attacked: Attacked, level: float = 0.9) -> Tensor:
    """Return the sum of what a pair breaks its limits by, in their units, (N,)."""
    limits = Limits(view, KAPPA, level)
    limits.calibrate(attacked.models, 99)
    return (-limits.room(attacked.models, attacked.x, 99)).clamp_min(0).sum(0).detach()


def _in_half_the_radius(view: AttackerView, attacked: Attacked) -> bool:
    limit = 0.5 * view.required_radii() * (1 + 1e-5)
    return bool((worlds.distance(view, attacked) <= limit).all())


def test_a_planted_pair_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aware, "LEVEL", 0.5)
    view = _view()
    view = replace(view, evade=(_planted(view),))
    oblivious = IMC(InputStep(), HEAD, KAPPA, phi=0.5)(view)
    assert (_excess(view, oblivious, 0.5) > 1).all()
    attacked = Aware(InputStep(), HEAD, KAPPA, 0.5, rounds=300)(view)
    assert (_excess(view, attacked, 0.5) == 0).all()


@pytest.mark.parametrize("model", [HEAD, replace(ALL, batch=32)], ids=["head", "all"])
def test_without_penalties_it_is_imc(model: ModelStep) -> None:
    view, rounds = _view(), 60 if model is HEAD else 15
    oblivious = IMC(InputStep(), model, KAPPA, rounds, phi=0.5)(view)
    attacked = Aware(InputStep(), model, KAPPA, 0.5, rounds)(view)
    assert (attacked.confidence >= KAPPA).all()
    assert (attacked.models.distance() <= model.delta).all()
    assert _in_half_the_radius(view, attacked)
    assert (worlds.kl(view, attacked.models) <= 1.05 * worlds.kl(view, oblivious.models)).all()


def test_a_detector_is_evaded_at_a_price_within_the_limits() -> None:
    view = _view(Unsure())
    oblivious = IMC(InputStep(), HEAD, KAPPA, phi=0.5)(view)
    attacked = Aware(InputStep(), HEAD, KAPPA, 0.5)(view)
    assert (_excess(view, oblivious) > 0).all()
    assert (_excess(view, attacked) <= 0.25).all()
    assert (attacked.confidence >= KAPPA).all()
    assert (worlds.kl(view, attacked.models) > worlds.kl(view, oblivious.models)).all()
    assert _in_half_the_radius(view, attacked)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_phi_the_input_has_all_of_its_ball(norm: norms.Norm) -> None:
    view = replace(worlds.view(4), evade=(Unsure(),))
    step = InputStep(norm, eps=0.1 if norm == "linf" else 0.5)
    attack = Aware(step, HEAD, KAPPA)
    assert attack.nature.radii is None
    attacked = attack(view)
    assert (worlds.distance(view, attacked, norm) <= step.eps * (1 + 1e-5)).all()
    assert (_excess(view, attacked) <= 0.25).all()


def test_no_step_makes_the_best_pair_worse() -> None:
    view = _view(Noisy(), Unsure())
    attack = Aware(InputStep(), HEAD, KAPPA, 0.5, 40)
    pairs = _Pairs(attack, view, IMC(attack.input, HEAD, KAPPA, 40, phi=0.5)(view))
    merits = []
    for k in range(attack.rounds):
        pairs.step(k)
        merits.append(pairs.best.merit)
        assert (norms.size(pairs.x - view.targets.x, "linf") <= pairs.radius * (1 + 1e-5)).all()
    assert (torch.stack(merits).diff(dim=0).nan_to_num() >= 0).all()
    assert (merits[-1] > merits[0]).any()


def test_a_model_that_may_not_move_leaves_all_to_the_input() -> None:
    view = _view(Unsure())
    attacked = Aware(InputStep(eps=0.5), replace(HEAD, delta=0.0), KAPPA, rounds=60)(view)
    assert float(attacked.models.distance().max()) == 0
    assert (_excess(view, attacked) <= 0.25).all()


def test_thresholds_are_those_of_the_faced_models(monkeypatch: pytest.MonkeyPatch) -> None:
    distances: list[float] = []
    calibrate = Limits.calibrate

    def record(self: Limits, models: PairedModels, turn: int) -> None:
        distances.append(float(models.distance().min()))
        calibrate(self, models, turn)

    monkeypatch.setattr(Limits, "calibrate", record)
    attacked = [
        Aware(InputStep(), HEAD, 0.9, 0.25, 30, every)(_view(Unsure())) for every in (10, 30)
    ]
    assert len(distances) == 3 + 1
    assert min(distances) > 0
    kl = [worlds.kl(_view(), result.models) for result in attacked]
    assert not torch.equal(*kl)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"phi": 1.5}, "between 0 and 1"),
        ({"kappa": 0.0}, "between 0 and 1"),
        ({"every": 0}, "every is 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Aware(**{"input": InputStep(), "model": HEAD, "kappa": KAPPA, **changed})  # type: ignore[arg-type]


def test_phi_needs_radii() -> None:
    with pytest.raises(ValueError, match=r"view\.radii"):
        Aware(InputStep(), HEAD, KAPPA, 0.5)(worlds.view(2))


@pytest.mark.parametrize("phi", [0.25, 0.75])
def test_who_does_not_know_the_detectors_is_never_stealthier(phi: float) -> None:
    view = _view(Noisy(), Unsure())
    oblivious = IMC(InputStep(), HEAD, KAPPA, 30, phi=phi)(view)
    attacked = Aware(InputStep(), HEAD, KAPPA, phi, 30)(view)
    limits = Limits(view, KAPPA, 0.9)
    before, after = (
        (-limits.mean_room(result.models, result.x)).clamp_min(0).sum(0)
        for result in (oblivious, attacked)
    )
    assert (after <= before + 1e-5).all()
    assert (after < before).any()


def test_pairs_are_judged_by_noise_that_no_step_follows() -> None:
    draws: list[tuple[str, int]] = []

    def record(i: int, purpose: str, turn: int) -> torch.Generator:
        draws.append((purpose, turn))
        return worlds.generator(i, purpose, turn)

    view = replace(_view(Noisy()), generator=record)
    limits, models = Limits(view, KAPPA, 0.9), view.unchanged_models()
    first = limits.mean_room(models, view.targets.x)
    judging = set(draws)
    draws.clear()
    limits.room(models, view.targets.x, 0)
    assert judging.isdisjoint(draws)
    assert torch.equal(limits.mean_room(models, view.targets.x), first)
