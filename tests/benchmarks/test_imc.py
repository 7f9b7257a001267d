"""IMC: its passes and the authors', its time and that of its passes."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks import norms
from evil_twins.attacks.base import Attacked, AttackerView
from evil_twins.attacks.efficacy import Level, equalise, margin
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import WEIGH, ModelStep
from evil_twins.bench.cells.measure import harm
from tests.benchmarks.conftest import World

pytestmark = pytest.mark.peers

KAPPA, BATCH, ROUNDS, FEW = 0.9, 128, 20, 8


@dataclass(frozen=True)
class Recipe:
    """The authors' program in this engine (Evil Twins, CCS 2020, Algorithm 1).

    A step of projected gradient descent, then an epoch of training on batches of which a third are
    copies of x* labelled t, until κ. Batch-norm is folded, so the learning rate is smaller than
    the 0.1 of their configuration: at 0.01 the folded network still diverges.
    """

    step: float
    eps: float
    lr: float = 1e-3

    def __call__(self, view: AttackerView) -> Attacked:
        results = [self._attack(view, i) for i in range(len(view.targets))]
        images, weights, rounds, passes = zip(*results, strict=True)
        edited = {name: torch.stack([model[name] for model in weights]) for name in weights[0]}
        models, x = PairedModels(view.victim, len(results), edited), torch.cat(images)
        confidence = models.confidence(x, view.targets.goal).detach()
        rounds, passes = torch.tensor(rounds), torch.tensor(passes)
        return Attacked(x, models, confidence, rounds, passes)

    def _attack(self, view: AttackerView, i: int) -> tuple[Tensor, dict[str, Tensor], int, int]:
        model = copy.deepcopy(view.victim).requires_grad_()
        origin, goal = view.targets.x[i : i + 1], view.targets.goal[i : i + 1]
        optimizer = torch.optim.SGD(model.parameters(), self.lr, momentum=0.9, nesterov=True)
        x, passes, m = origin.clone(), 0, len(view.reference)
        for turn in range(ROUNDS):
            leaf = x.requires_grad_()
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(leaf), goal), leaf)
            x = leaf.detach() - self.step * gradient.sign()
            x = norms.project(x, origin, torch.full((1,), self.eps), "linf")
            passes += 2
            order = torch.randperm(m, generator=view.generator(i, "epoch", turn))
            for index in order.split(BATCH):
                copies = len(index) // 2
                images = torch.cat([view.reference.x[index], x.expand(copies, -1, -1, -1)])
                labels = torch.cat([view.reference.label[index], goal.expand(copies)])
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images), labels).backward()
                optimizer.step()
                passes += 2 * len(images)
            with torch.no_grad():
                confidence = model(x).softmax(1)[0, goal]
            passes += 1
            if confidence >= KAPPA:
                break
        return x, {k: v.detach() for k, v in model.named_parameters()}, turn + 1, passes


def _flips(world: World, models: PairedModels) -> float:
    """Compute the share of R on which victim and faced model disagree, over all targets."""
    features = torch.cat([world.victim.features(x) for x in world.heldout.x.split(256)])
    _, flips, _ = harm(models, world.victim, world.heldout, features)
    return float(flips.double().mean())


@pytest.mark.benchmark(group="IMC to κ, 8 targets")
def test_ours_beside_the_recipe(benchmark, world: World) -> None:  # type: ignore[no-untyped-def]
    """Ten times fewer passes than the authors' recipe, and no more harm.

    The radius is what the recipe used: the PGD that sets it when φ is given is no part of either.
    """
    view = world.few(FEW)
    recipe = Recipe(step=world.eps / 32, eps=world.eps / 4)(view)
    assert (recipe.confidence >= KAPPA).all()
    # At the same κ and the same distance: their excess over κ is taken back along the line to θ°.
    x, models = equalise(Level.of(view, KAPPA), view.targets, recipe.x, recipe.models)
    far = norms.size(x - view.targets.x, "linf")
    attack = IMC(InputStep(), ModelStep("head"), KAPPA, rounds=60, phi=0.5)
    ours = benchmark.pedantic(lambda: attack(replace(view, radii=2 * far)), rounds=3)
    assert (ours.confidence >= KAPPA).all()
    assert (norms.size(ours.x - view.targets.x, "linf") <= far * (1 + 1e-5)).all()
    shared = len(view.reference) / len(view.targets)
    facts = {
        "passes of the recipe": float(recipe.passes.double().mean()),
        "passes": float(ours.passes.double().mean()) + shared,
        "disagreement by the recipe": _flips(world, recipe.models),
        "by the recipe, ended at κ": _flips(world, models),
        "disagreement": _flips(world, ours.models),
    }
    benchmark.extra_info.update(facts)
    assert facts["passes of the recipe"] >= 10 * facts["passes"]
    assert facts["disagreement"] <= facts["disagreement by the recipe"]
    assert facts["disagreement"] <= facts["by the recipe, ended at κ"]


IMC_ROUNDS = 100


def _passes(view: AttackerView, step: ModelStep) -> Callable[[], None]:
    """Return the passes that 100 rounds of IMC on the last layer need, without its steps.

    If minibatches are drawn, the passes over the whole reference for their chances are included.
    """
    victim, targets, reference = view.victim, view.targets, view.reference
    n, m = len(targets), len(reference)
    start = {k: v for k, v in victim.named_parameters() if k.startswith("head.")}
    with torch.no_grad():
        share = victim.head(reference.features).softmax(1)
    batch = min(step.batch, m)

    def run() -> None:
        for k in range(IMC_ROUNDS):
            heads = {k: v.expand(n, *v.shape).clone().requires_grad_() for k, v in start.items()}
            models = PairedModels(victim, n, heads)
            leaf = targets.x.clone().requires_grad_()
            g = margin(models.logits(models.features(leaf.unsqueeze(1))).squeeze(1), targets.goal)
            torch.autograd.grad(g.sum(), [leaf, *heads.values()])
            if batch < m and k % WEIGH == 0:
                for i in range(n):
                    model = models.rows(torch.tensor([i]))
                    with torch.no_grad():
                        model.logits(reference.features.unsqueeze(0)).softmax(2)
            index = torch.randint(m, (n * batch,))
            inputs, benign = (
                values.index_select(0, index).view(n, batch, -1)
                for values in (reference.features, share)
            )
            z = models.logits(inputs)
            rise = (z.detach().mT.softmax(1).mT - benign) / batch
            torch.autograd.grad(z, list(heads.values()), rise)

    return run


@pytest.mark.usefixtures("turn")
@pytest.mark.benchmark(group="IMC on the last layer, 100 rounds")
def test_the_passes_alone(benchmark, world: World) -> None:  # type: ignore[no-untyped-def]
    benchmark.pedantic(_passes(world.few(20), ModelStep("head")), rounds=2, warmup_rounds=1)


@pytest.mark.usefixtures("turn")
@pytest.mark.benchmark(group="IMC on the last layer, 100 rounds")
def test_ours(benchmark, world: World) -> None:  # type: ignore[no-untyped-def]
    view = world.few(20)
    view = replace(view, radii=torch.full((20,), world.eps / 4))
    attack = IMC(InputStep(), ModelStep("head"), KAPPA, rounds=IMC_ROUNDS, phi=0.5)
    attacked = benchmark.pedantic(lambda: attack(view), rounds=2, warmup_rounds=1)
    assert (attacked.confidence >= KAPPA).all()
    assert (attacked.passes == 2 * IMC_ROUNDS + 1).all()
