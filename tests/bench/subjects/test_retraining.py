"""Adversarial training: limits, suites that ask for it, robustness."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import architectures, data, victims, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.retraining import Retraining, retrain
from evil_twins.bench.subjects.victims import Recipe
from tests.bench.runs import carry_out, planned
from tests.bench.suites import HEAD, doubt, shift

SHORT = Recipe(epochs=2, flip=True)
BENT = HEAD.replace("recipe = { epochs = 2 }\n", "") + (
    "[victim.recipe]\nepochs = 1\n[victim.retraining]\nreplays = 2\neps = 0.1\n"
)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


def same(first: Classifier, second: Classifier) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def identity(folder: Path, head: str) -> str:
    """Return the identity of the victim's cell."""
    cells = planned(folder, shift(), doubt(), head=head)
    return cells.cells[cells.victims[0]].identity({})


@pytest.mark.parametrize("count", [200, 5])
def test_without_a_ball_and_replays_it_is_plain_training(digits: data.Dataset, count: int) -> None:
    task = (digits.train.take(range(count)), "resnet-tiny", 10, SHORT)
    standard = victims.train(*task, seed=3)
    assert same(retrain(*task, Retraining(replays=1, eps=0), seed=3), standard)
    assert not same(retrain(*task, Retraining(replays=1, eps=0.1), seed=3), standard)


def test_the_second_step_sees_what_climbs_the_loss_of_the_first(digits: data.Dataset) -> None:
    images, recipe = digits.train.take(range(20)), Recipe(epochs=1, shift=0)
    trained = retrain(images, "resnet-tiny", 10, recipe, Retraining(2, eps=0.05, step=0.2), seed=0)
    model = victims.initial(images, "resnet-tiny", 10, 0).train()
    update = victims.updater(model, recipe, 2)
    ((x, label),) = victims.minibatches(images, recipe, torch.Generator().manual_seed(0))
    leaf = x.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(leaf), label)
    (uphill,) = torch.autograd.grad(loss, leaf, retain_graph=True)
    update(loss)
    bent = (x + 0.05 * uphill.sign()).clamp(0, 1)  # the step leaves the ball
    update(torch.nn.functional.cross_entropy(model(bent), label))
    for name, value in architectures.fold(model).state_dict().items():
        torch.testing.assert_close(trained.state_dict()[name], value, msg=name)


def test_training_on_continues_from_the_weights_of_the_victim(digits: data.Dataset) -> None:
    images, other = digits.train.take(range(130)), Recipe(epochs=1, lr=0.1)
    task = images, "resnet-tiny", 10, Recipe(epochs=2)
    model = victims.trained(*task, seed=3)
    update, again = victims.updater(model, other, 2), torch.Generator().manual_seed(3)
    for x, label in victims.minibatches(images, other, again):
        update(victims.loss(model, x, label, other))
    on = retrain(*task, Retraining(1, eps=0, start="victim", recipe=other), seed=3)
    assert same(on, victims.finished(model, images))


def test_it_depends_on_the_seed_alone_and_reports(digits: data.Dataset) -> None:
    task, reports = (digits.train.take(range(100)), "resnet-tiny", 10, SHORT), list[float]()
    before = torch.get_rng_state()
    first = retrain(*task, Retraining(replays=2), 0, report=reports.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert reports == [0.5, 1.0]
    assert same(retrain(*task, Retraining(replays=2), 0), first)
    assert not same(retrain(*task, Retraining(replays=2), 1), first)
    assert not any(parameter.requires_grad for parameter in first.parameters())


@pytest.mark.usefixtures("one_thread")
def test_a_suite_asks_for_it(tmp_path: Path) -> None:
    done = carry_out(tmp_path, shift(), doubt(), head=BENT)
    assert not done.state.failed
    (path,) = tmp_path.glob("small/cells/victim/*/victim.safetensors")
    expected = retrain(
        cached_dataset("digits", None, None).train,
        *("resnet-tiny", 10, Recipe(epochs=1), Retraining(replays=2, eps=0.1), 0),
    )
    assert same(weights.load(path, None), expected)
    assert done.study(0)["victim"] == "resnet-tiny-retrained"
    targets = pd.read_parquet(tmp_path / "small" / "targets.parquet")
    assert set(targets["victim"]) == {"resnet-tiny-retrained"}


def test_every_key_counts_and_plain_training_is_what_it_was(tmp_path: Path) -> None:
    standard, cells = identity(tmp_path, HEAD), planned(tmp_path, shift(), doubt())
    assert "retraining" not in cells.cells[cells.victims[0]].spec
    heads = [HEAD + "[victim.retraining]\n", BENT, BENT.replace("replays = 2", "replays = 3")]
    heads += [BENT + 'start = "victim"\n']
    identities = {identity(tmp_path, head) for head in heads}
    assert len(identities | {standard}) == 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("replays", "replay", "did you mean 'replays'"),
        ("replays = 2", "replays = 0", "replays >= 1"),
        ("replays = 2", 'start = "old"', "'new' or 'victim'"),
        ("eps = 0.1", "eps = 8", "shares of a pixel"),
        ("retraining", "retrainin", "did you mean 'retraining'"),
        ("[victim.recipe]\nepochs = 1", 'weights = "v.safetensors"', "needs no recipe"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, message: str) -> None:
    head = BENT.replace(old, new)
    if "weights" in new:  # a key of [victim], which must precede [targets]
        head = BENT.replace("[targets]", f"{new}\n[targets]").replace(
            "[victim.recipe]\nepochs = 1\n", ""
        )
    with pytest.raises(UserError, match=message) as error:
        identity(tmp_path, head)
    assert len(str(error.value).splitlines()) <= 3


@pytest.mark.slow
def test_it_is_harder_to_deceive(digits: data.Dataset) -> None:
    """More of R stays correct in a ball in which standard training loses most of it."""
    eps = 32 / 255
    recipe, bent = Recipe(epochs=20), Retraining(replays=4, eps=eps, step=eps / 4)
    standard = victims.train(digits.train, "resnet-tiny", 10, recipe, seed=0)
    tough = retrain(digits.train, "resnet-tiny", 10, replace(recipe, epochs=5), bent, seed=0)
    clean = [victims.accuracy(model, digits.heldout) for model in (standard, tough)]
    rates = [_standing(model, digits.heldout, eps) for model in (standard, tough)]
    assert min(clean) > 0.9
    assert rates[1] > rates[0] + 0.1, (clean, rates)


def _standing(model: Classifier, images: data.Images, eps: float) -> float:
    """Return the share that stays correct under ten signed-gradient steps from the label."""
    x, label = images.x, images.label
    at = x
    for _ in range(10):
        leaf = at.detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(model(leaf), label)
        (gradient,) = torch.autograd.grad(loss, leaf)
        at = (at + eps / 4 * gradient.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return float((model(at).argmax(1) == label).float().mean())
