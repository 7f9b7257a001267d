"""Passes are necessary ones, and are counted."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.efficacy import Level, equalise
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.poisoning import Poisoning
from evil_twins.attacks.steps.input import InputStep, InputWalk
from evil_twins.attacks.steps.model import ModelStep
from tests.attacks import worlds

N, ROUNDS, BATCH = 4, 10, 16
HEAD, ALL = ModelStep("head", batch=BATCH), ModelStep("all", batch=BATCH)
ATTACKS = {
    "pgd": (PGD(InputStep(), 0.75, ROUNDS), 3 * ROUNDS),
    "poisoning head": (Poisoning(HEAD, 0.75, ROUNDS), 1),
    "imc head": (IMC(InputStep(), HEAD, 0.75, ROUNDS, phi=0.5), 2 * ROUNDS + 1),
    "poisoning all": (Poisoning(ALL, 0.75, ROUNDS), (2 + 2 * BATCH) * ROUNDS),
    "imc all": (IMC(InputStep(), ALL, 0.75, ROUNDS, phi=0.5), (4 + 2 * BATCH) * ROUNDS),
}


def _run(name: str, view: AttackerView) -> Attacked:
    return ATTACKS[name][0](replace(view, radii=torch.full((N,), 0.2)))


@pytest.mark.parametrize("name", ATTACKS)
def test_every_pass_is_counted(name: str) -> None:
    assert _run(name, worlds.view(N)).passes.tolist() == [ATTACKS[name][1]] * N


@pytest.mark.parametrize(("name", "forward"), [("pgd", 3 * ROUNDS // 2), ("imc head", ROUNDS + 1)])
def test_no_more_images_go_through_the_trunk_than_are_needed(name: str, forward: int) -> None:
    view, batches = worlds.view(N), list[int]()

    def count(_: object, args: tuple[Tensor], __: Tensor) -> None:
        if (
            torch.is_grad_enabled()
        ):  # a pass of a step: the search for the end at κ needs no gradient
            batches.append(len(args[0]))

    hook = view.victim.trunk.register_forward_hook(count)  # type: ignore[attr-defined]
    try:
        _run(name, view)
    finally:
        hook.remove()
    assert N * forward <= sum(batches) <= N * (forward + 1)


def test_only_an_input_that_suffices_without_the_model_takes_passes_to_end() -> None:
    view, batches = worlds.view(N), list[int]()
    x = view.targets.x.clone()
    x[1] = PGD(InputStep(), 0.99)(view).x[1]
    models = Poisoning(ModelStep("head", delta=20.0), 0.99)(view).models
    hook = view.victim.trunk.register_forward_hook(  # type: ignore[attr-defined]
        lambda _, args, __: batches.append(len(args[0]))
    )
    try:
        moved, ended = equalise(Level.of(view, 0.75), view.targets, x, models)
    finally:
        hook.remove()
    assert batches[0] == N
    assert set(batches[1:]) == {1}
    rows = [0, 2, 3]
    assert torch.equal(moved[rows], x[rows])
    assert not torch.equal(moved[1], x[1])
    assert torch.equal(ended.parameters["head.weight"][1], view.victim.head.weight)
    confidence = ended.confidence(moved, view.targets.goal)
    assert ((confidence >= 0.75) & (confidence <= 0.76)).all()


@pytest.mark.parametrize("exit", ["first", "polish"])
@pytest.mark.parametrize("step", [HEAD, ALL], ids=["head", "all"])
@pytest.mark.parametrize("substeps", [1, 2])
def test_a_cached_forward_pass_equals_a_new_one(
    monkeypatch: pytest.MonkeyPatch, exit: str, step: ModelStep, substeps: int
) -> None:
    view = replace(worlds.view(N), radii=torch.full((N,), 0.2))
    inputs, models = InputStep(steps=substeps), replace(step, steps=substeps)
    attack = IMC(inputs, models, 0.75, ROUNDS, exit, phi=0.5)  # type: ignore[arg-type]
    cached = attack(view)

    def forward(self: InputWalk, models: PairedModels, active: Tensor) -> tuple[Tensor, Tensor]:
        leaf = self.x[active].requires_grad_()
        return leaf, models.features(leaf.unsqueeze(1))

    monkeypatch.setattr(InputWalk, "forward", forward)
    again = attack(view)
    torch.testing.assert_close(cached.x, again.x)
    for name, value in cached.models.parameters.items():
        torch.testing.assert_close(value, again.models.parameters[name])
