from dataclasses import replace

import pytest
import torch
from scipy.stats import page_trend_test
from torch import Tensor

from evil_twins.attacks import norms
from evil_twins.attacks.algorithm1 import Exit
from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.efficacy import Level, equalise, logit, margin
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds

HEAD, ALL = ModelStep("head", delta=20.0), ModelStep("all", delta=20.0)


def _same(a: Attacked, b: Attacked) -> None:
    assert torch.equal(a.x, b.x)
    assert torch.equal(a.confidence, b.confidence)
    assert a.models.parameters.keys() == b.models.parameters.keys()
    for name, value in a.models.parameters.items():
        assert torch.equal(value, b.models.parameters[name])


@pytest.mark.parametrize("exit", ["first", "polish"])
def test_imc_without_its_model_step_is_pgd(exit: Exit) -> None:
    view, step = worlds.view(), InputStep()
    pure = PGD(step, 0.75, 40, exit)(view)
    _same(IMC(step, None, 0.75, 40, exit)(view), pure)
    _same(IMC(step, replace(HEAD, delta=0.0), 0.75, 40, exit)(view), pure)
    _same(IMC(step, HEAD, 0.75, 40, exit, phi=1.0)(view), pure)


@pytest.mark.parametrize("exit", ["first", "polish"])
@pytest.mark.parametrize("model", [HEAD, ALL], ids=["head", "all"])
def test_imc_without_its_input_step_is_poisoning(exit: Exit, model: ModelStep) -> None:
    view = worlds.view()
    pure = Poisoning(model, 0.75, 25, exit)(view)
    _same(IMC(None, model, 0.75, 25, exit)(view), pure)
    _same(IMC(InputStep(eps=0.0), model, 0.75, 25, exit)(view), pure)
    _same(IMC(InputStep(), model, 0.75, 25, exit, phi=0.0)(view), pure)


def test_algorithm_1_moves_within_the_whole_ball_and_stops_at_kappa() -> None:
    view, kappa, eps = worlds.view(), 0.75, 0.25
    step = InputStep(eps=eps, step=0.125)
    joint = IMC(step, replace(HEAD, steps=2), kappa, 60, "first")
    assert joint.nature.radii is None
    attacked = joint(view)
    assert (attacked.confidence >= kappa).all()
    far = worlds.distance(view, attacked)
    # Steps of 1/32 from x°, one a round; the round that reached κ may have needed none.
    assert (far <= attacked.rounds * eps * 0.125 + 1e-6).all()
    assert (far <= eps + 1e-6).all()
    for pure in (
        PGD(step, kappa, 60, "first"),
        Poisoning(replace(HEAD, steps=2), kappa, 60, "first"),
    ):
        rounds = pure(view).rounds
        assert (attacked.rounds[rounds > 0] <= rounds[rounds > 0]).all()


@pytest.mark.parametrize(
    ("kappa", "model"),
    [(0.75, HEAD), (0.9, HEAD), (0.75, ALL), pytest.param(0.9, ALL, marks=pytest.mark.slow)],
    ids=["head-0.75", "head-0.9", "all-0.75", "all-0.9"],
)
def test_every_target_ends_just_above_kappa_within_its_limits(
    kappa: float, model: ModelStep
) -> None:
    view = worlds.with_radii(worlds.view(), kappa)
    step = InputStep()
    attacks = [PGD(step, kappa), Poisoning(model, kappa, 60), IMC(step, model, kappa, 60, phi=0.5)]
    if model is HEAD:
        attacks += [IMC(step, model, kappa, lam=0.01), Poisoning(model, kappa, 60, "first")]
    for attack in attacks:
        attacked = attack(view)
        assert (attacked.confidence >= kappa).all(), attack
        assert (attacked.confidence <= kappa + 0.01).all(), attack
        assert (attacked.rounds > 0).all()
        assert (attacked.models.distance() <= model.delta).all()
    joint = IMC(step, model, kappa, 60, phi=0.5)(view)
    assert (worlds.distance(view, joint) <= 0.5 * view.required_radii() * (1 + 1e-5)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("kappa", [0.75, 0.9])
def test_pgd_finds_the_smallest_distance_on_binary_linear_classifiers(
    norm: norms.Norm, kappa: float
) -> None:
    draw = torch.Generator().manual_seed(3)
    weight = 4 * torch.randn(2, 16, generator=draw)
    x = 0.5 + 0.02 * torch.randn(12, 1, 4, 4, generator=draw)
    view = worlds.linear_view(weight, x, 12)
    attacked = PGD(InputStep(norm, eps=2.0), kappa)(view)
    missing = logit(kappa) - margin(view.victim(x), view.targets.goal)
    smallest = missing / norms.dual_size((weight[0] - weight[1]).unsqueeze(0), norm)
    far = worlds.distance(view, attacked, norm)
    assert float(attacked.x.min()) > 0  # the box is not met
    assert float(attacked.x.max()) < 1
    assert (attacked.confidence >= kappa).all()
    assert (far <= 1.05 * smallest).all()
    assert (far >= 0.999 * smallest).all()


def _losses(view: AttackerView, attacks: list[IMC]) -> tuple[Tensor, Tensor]:
    """Compute fidelity losses and KL of each attack, (N, attacks)."""
    results = [attack(view) for attack in attacks]
    distances = torch.stack([worlds.distance(view, result) for result in results], 1)
    return distances, torch.stack([worlds.kl(view, result.models) for result in results], 1)


def test_along_phi_fidelity_loss_rises_and_kl_falls() -> None:
    view = worlds.with_radii(worlds.view(10), 0.75)
    phis = (0.0, 0.25, 0.5, 0.75, 1.0)
    far, kl = _losses(view, [IMC(InputStep(), HEAD, 0.75, phi=phi) for phi in phis])
    assert page_trend_test(far.numpy()).pvalue < 1e-6
    assert page_trend_test(-kl.numpy()).pvalue < 1e-6


def test_along_lam_fidelity_loss_falls_and_kl_rises() -> None:
    view = worlds.view(10)
    lams = (1e-5, 1e-3, 1e-1, 10.0)
    far, kl = _losses(view, [IMC(InputStep(), HEAD, 0.75, lam=lam) for lam in lams])
    assert page_trend_test(-far.numpy()).pvalue < 1e-4
    assert page_trend_test(kl.numpy()).pvalue < 1e-4
    assert float(far[:, -1].max()) < 0.02  # a large λ is Poisoning


def test_attacks_on_one_target_draw_with_the_same_numbers() -> None:
    view, draws = worlds.view(3), []

    def record(i: int, purpose: str, turn: int) -> torch.Generator:
        draws.append((i, purpose, turn))
        return worlds.generator(i, purpose, turn)

    view = worlds.with_radii(replace(view, generator=record), 0.75)
    small = replace(HEAD, batch=16)
    Poisoning(small, 0.75, 5)(view)
    expected = sorted(set(draws))
    draws.clear()
    IMC(InputStep(), small, 0.75, 5, phi=0.5)(view)
    assert expected == sorted(set(draws))
    assert (2, "minibatch", 4) in expected


def test_what_cannot_reach_kappa_stays_and_says_so() -> None:
    view = worlds.view()
    attacked = PGD(InputStep(eps=1e-4), 0.75)(view)
    assert (attacked.confidence < 0.75).all()
    assert (attacked.rounds == -1).all()
    assert (worlds.distance(view, attacked) <= 1e-4 + 1e-7).all()


def test_equal_efficacy_moves_models_and_leaves_inputs() -> None:
    view = worlds.view()
    far = Poisoning(HEAD, 0.99)(view)
    x, models = equalise(Level.of(view, 0.75), view.targets, view.targets.x, far.models)
    confidence = models.confidence(x, view.targets.goal)
    assert torch.equal(x, view.targets.x)
    assert ((confidence >= 0.75) & (confidence <= 0.76)).all()


def test_margin_is_the_logit_of_the_confidence() -> None:
    z = torch.randn(9, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    goal = torch.arange(9) % 5
    p = z.softmax(1).gather(1, goal.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(margin(z, goal), torch.logit(p))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IMC(None, None, 0.75), "input step, a model step"),
        (lambda: IMC(InputStep(), HEAD, 0.75), "either phi or lam"),
        (lambda: IMC(InputStep(), HEAD, 0.75, phi=0.5, lam=1.0), "either phi or lam"),
        (lambda: IMC(InputStep(), HEAD, 0.75, phi=1.5), "between 0 and 1"),
        (lambda: InputStep(step=0.0), "step > 0"),
        (lambda: ModelStep(batch=0), "batch >= 1"),
        (lambda: PGD(InputStep(), 1.5)(worlds.view(1)), "between 0 and 1"),
        (lambda: IMC(InputStep(), HEAD, 0.75, phi=0.5)(worlds.view(1)), "view.radii"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("layers", ["head", "all"])
def test_paired_models_are_the_models_one_by_one(layers: str) -> None:
    view = worlds.view(4)
    attacked = Poisoning(HEAD if layers == "head" else ALL, 0.75, 5)(view)
    models, x = attacked.models, view.reference.x[:7]
    stacked = models.logits(models.features(x.unsqueeze(0)))
    for i in range(4):
        torch.testing.assert_close(stacked[i], models[i](x), atol=1e-5, rtol=1e-5)
    assert models.layers == layers
    named = dict(view.victim.named_parameters())  # type: ignore[attr-defined]
    whole = torch.sqrt(sum(p.double().square().sum() for p in named.values()))
    moved = dict(models[2].named_parameters())
    far = torch.sqrt(sum((moved[k] - named[k]).double().square().sum() for k in named))
    torch.testing.assert_close(models.distance()[2], far / whole)
    assert float(models.scaled(torch.zeros(4)).distance().max()) == 0
    same = models.scaled(torch.ones(4))
    torch.testing.assert_close(same.distance(), models.distance())
    with pytest.raises(IndexError):
        models[4]
    assert PairedModels(view.victim, 3, {})[1] is view.victim
