from dataclasses import replace

import pytest
import torch

from evil_twins.bench.analysis.paper import published
from evil_twins.bench.subjects import data, splits, victims
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.victims import Recipe, accuracy, train
from tests.bench.subjects.random_networks import random_images, same, state

SHORT = Recipe(epochs=2, flip=True)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def victim(digits: data.Dataset) -> Classifier:
    return train(digits.train, "resnet-tiny", 10, Recipe(epochs=6), seed=0)


def test_bfloat16_is_another_way_to_as_good_a_victim(
    digits: data.Dataset, victim: Classifier
) -> None:
    mixed = Recipe(epochs=6, precision="bfloat16")
    trained = train(digits.train, "resnet-tiny", 10, mixed, seed=0)
    assert {value.dtype for value in trained.state_dict().values()} == {torch.float32}
    assert not same(state(trained), state(victim))
    rate, other = (accuracy(model, digits.heldout) for model in (trained, victim))
    assert abs(rate - other) < 0.03
    assert rate > 0.9


def test_a_precision_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        Recipe(precision="float16")


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 3, 8, 8), (2, 1, 8, 9), (2, 2, 1, 8, 8)])
def test_images_of_another_shape_are_refused(shape: tuple[int, ...], victim: Classifier) -> None:
    with pytest.raises(ValueError, match=r"expected images \(N, 1, 8, 8\), got"):
        victim(torch.zeros(shape))


def test_gradient_reaches_the_pixels_and_not_the_weights(victim: Classifier) -> None:
    x = random_images((1, 8, 8)).requires_grad_()
    (gradient,) = torch.autograd.grad(victim(x).sum(), x)
    assert gradient.abs().sum() > 0
    assert all(parameter.grad is None for parameter in victim.parameters())


def test_batch_does_not_matter(victim: Classifier) -> None:
    x = random_images((1, 8, 8), 20)
    single = torch.cat([victim(image[None]) for image in x])
    assert torch.allclose(victim(x), single, atol=1e-4)


def test_few_epochs_learn(victim: Classifier, digits: data.Dataset) -> None:
    assert accuracy(victim, digits.heldout) > 0.85
    assert victim.shape == (1, 8, 8)
    assert victim.architecture == "resnet-tiny"
    assert not victim.training
    assert not any(parameter.requires_grad for parameter in victim.parameters())
    assert {value.dtype for value in victim.state_dict().values()} == {torch.float32}
    values = digits.train.x.double()
    assert victim.mean.item() == pytest.approx(values.mean().item(), abs=1e-6)
    assert victim.std.item() == pytest.approx(values.std(correction=0).item(), abs=1e-6)


def test_training_depends_on_the_seed_alone(digits: data.Dataset) -> None:
    few = digits.train.take(range(200))
    first = state(train(few, "resnet-tiny", 10, SHORT, seed=3))
    torch.rand(5)
    assert same(state(train(few, "resnet-tiny", 10, SHORT, seed=3)), first)
    assert not same(state(train(few, "resnet-tiny", 10, SHORT, seed=4)), first)


def test_training_touches_no_global_generator_and_reports(digits: data.Dataset) -> None:
    few, reports = digits.train.take(range(100)), list[float]()
    before = torch.get_rng_state()
    train(few, "resnet-tiny", 10, SHORT, seed=0, report=reports.append)
    assert torch.equal(torch.get_rng_state(), before)
    assert reports == [0.5, 1.0]


def test_fewer_images_than_a_batch(digits: data.Dataset) -> None:
    few = digits.train.take(range(5))
    assert train(few, "resnet-tiny", 10, replace(SHORT, batch=64), seed=0)(few.x).isfinite().all()


def test_augmentation_moves_whole_images() -> None:
    pixels = torch.arange(1, 17, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat(400, 1, 1, 1)
    generator = torch.Generator().manual_seed(0)
    moved = victims._augment(pixels, Recipe(shift=1), generator)
    wide = torch.zeros(1, 6, 6, dtype=torch.uint8)
    wide[:, 1:5, 1:5] = pixels[0]
    allowed = [wide[:, i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
    counts = [sum(torch.equal(image, shifted) for image in moved) for shifted in allowed]
    assert sum(counts) == 400
    assert min(counts) > 20
    mirrored = victims._augment(pixels, Recipe(shift=0, flip=True), generator)
    kept = sum(torch.equal(image, pixels[0]) for image in mirrored)
    turned = sum(torch.equal(image, pixels[0].flip(2)) for image in mirrored)
    assert kept + turned == 400
    assert 150 < kept < 250
    assert torch.equal(victims._augment(pixels, Recipe(shift=0), generator), pixels)


def test_accuracy_is_a_share_of_the_images(victim: Classifier, digits: data.Dataset) -> None:
    images = digits.heldout
    right = victim(images.x).argmax(1) == images.label
    assert accuracy(victim, images) == int(right.sum()) / len(images)
    assert accuracy(victim, images.take(right.nonzero().flatten())) == 1
    assert accuracy(victim, images.take((~right).nonzero().flatten())) == 0
    with pytest.raises(ValueError, match="at least one"):
        accuracy(victim, images.take([]))


def test_published_figures() -> None:
    assert published()["gtsrb"].accuracy == 99.12
    assert published()["imagenet"].specificity[0.9] == 3.83


@pytest.mark.slow
def test_digits_are_learnt(digits: data.Dataset) -> None:
    parts = [getattr(digits, split) for split in splits.NAMES]
    test = Images(
        tuple(name for images in parts for name in images.ids),
        torch.cat([images.pixels for images in parts]),
        torch.cat([images.label for images in parts]),
    )
    assert len(test) == 898
    rates = [
        accuracy(train(digits.train, "resnet-tiny", 10, Recipe(), seed), test) for seed in range(3)
    ]
    assert sum(rates) / 3 >= 0.965
