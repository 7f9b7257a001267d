"""Algorithm 1 with plain gradient steps, compared with autograd by hand."""

from dataclasses import replace

import torch
from torch.nn.functional import cross_entropy, kl_div, linear

from evil_twins.attacks.efficacy import logit, margins
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.yardsticks.plain import PlainSteps
from tests.attacks.yardsticks.test_within import nonlinear

STEP = InputStep(eps=0.1, step=0.01)


def test_a_round_is_a_signed_step_of_the_input_and_a_gradient_step_of_the_last_layer() -> None:
    view = nonlinear()
    attack = PlainSteps(STEP, 0.99, rounds=1, lr=0.003, batch=7, nu=2.0)
    attacked = attack(view)
    assert (attacked.rounds == -1).all()  # so that nothing was moved back to κ
    targets, head = view.targets, view.victim.head
    for i in range(len(targets)):
        x, goal = targets.x[i : i + 1].clone().requires_grad_(), targets.goal[i : i + 1]
        (slope,) = torch.autograd.grad(cross_entropy(view.victim(x), goal), x)
        moved = (x - 0.001 * slope.sign()).clamp(0, 1).detach()
        torch.testing.assert_close(attacked.x[i : i + 1], moved)
        draw = view.generator(i, "minibatch", 0)
        batch = view.reference.features[torch.randint(len(view.reference), (7,), generator=draw)]
        weight, bias = (p.detach().clone().requires_grad_() for p in (head.weight, head.bias))
        kept = head(batch).softmax(1).detach()
        faced = linear(batch, weight, bias).log_softmax(1)
        loss = cross_entropy(linear(view.victim.features(moved), weight, bias), goal)
        loss = loss + 2.0 * kl_div(faced, kept, reduction="batchmean")
        down = torch.autograd.grad(loss, [weight, bias])
        for value, slope, name in zip((weight, bias), down, ("weight", "bias"), strict=True):
            value_after = attacked.models.parameters[f"head.{name}"][i]
            torch.testing.assert_close(value_after, (value - 0.003 * slope).detach())


def test_a_target_stops_in_the_round_in_which_it_reaches_kappa() -> None:
    view = nonlinear()
    attack = PlainSteps(STEP, 0.5, rounds=500, lr=1e-4)
    attacked = attack(view)
    assert (attacked.rounds > 0).all()
    g = margins(attacked.models, attacked.x, view.targets.goal)
    assert ((g >= logit(0.5)) & (g <= logit(0.51))).all()
    k = int(attacked.rounds.max())
    late = replace(attack, rounds=k - 1)(view)
    assert ((late.rounds == -1) == (attacked.rounds == k)).all()


def test_an_input_that_its_first_step_brings_to_kappa_is_counted_in_the_first_round() -> None:
    view = nonlinear()
    attacked = PlainSteps(InputStep(eps=0.5, step=1.0), 0.5, rounds=5, lr=1e-6)(view)
    assert attacked.rounds.min() == 1
