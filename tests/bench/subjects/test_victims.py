import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from evil_twins.bench.analysis.paper import PUBLISHED
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import data, victims, weights
from evil_twins.bench.subjects.architectures import ARCHITECTURES, Classifier, build, fold
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.splits import Splits
from evil_twins.bench.subjects.victims import Recipe, accuracy, train

SHAPES = {"resnet-tiny": (1, 8, 8), "resnet18-narrow": (3, 32, 32)}
SHORT = Recipe(epochs=2, flip=True)


def untrained(architecture: str, shape: tuple[int, int, int]) -> Classifier:
    """Build a network with batch-norm away from its initial values, and with live signals."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mean, std = torch.rand(shape[0]), 0.5 + torch.rand(shape[0])
        model = build(architecture, 7, shape, mean, std).train()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in layers:
        layer.weight.data.uniform_(0.2, 0.8, generator=generator)
        layer.bias.data.uniform_(-0.3, 0.3, generator=generator)
        layer.momentum = 1
    with torch.no_grad():
        model(random_images(shape, 8))
    for layer in layers:
        assert layer.running_mean is not None
        assert layer.running_var is not None
        width = layer.running_mean.shape
        layer.running_mean += (
            layer.running_var.sqrt() * 0.2 * torch.randn(width, generator=generator)
        )
        layer.running_var *= 0.7 + 0.6 * torch.rand(width, generator=generator)
    return model.eval()


def random_images(shape: tuple[int, ...], count: int = 3) -> Tensor:
    return torch.rand((count, *shape), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="module")
def victim(digits: data.Dataset) -> Classifier:
    return train(digits.train, "resnet-tiny", 10, Recipe(epochs=6), seed=0)


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return list(first) == list(second) and all(
        torch.equal(first[name], second[name]) for name in first
    )


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_folding_changes_no_logit(architecture: str) -> None:
    shape = SHAPES.get(architecture, (3, 16, 16))
    model = untrained(architecture, shape)
    before, x = state(model), random_images(shape)
    folded = fold(model)
    assert not any("BatchNorm" in type(layer).__name__ for layer in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not folded.training
    assert same(state(model), before)
    with torch.no_grad():
        expected = model(x)
        rounding = 1e-4 * expected.abs().max().clamp_min(1)
        assert (folded(x) - expected).abs().max() < rounding
        assert expected.std(0).max() > 1e-2, (
            "the images must matter for the comparison to mean much"
        )


@pytest.mark.parametrize("architecture", ["resnet18", "resnet101"])
def test_stem_follows_the_size_of_the_images(architecture: str) -> None:
    with torch.device("meta"):
        small, large, grey = (
            build(architecture, 5, shape, torch.zeros(shape[0]), torch.ones(shape[0]))
            for shape in ((3, 64, 64), (3, 96, 96), (1, 96, 96))
        )
    sizes = [tuple(m.get_parameter("trunk.conv1.weight").shape) for m in (small, large, grey)]
    assert sizes == [(64, 3, 3, 3), (64, 3, 7, 7), (64, 1, 7, 7)]
    assert isinstance(small.get_submodule("trunk.maxpool"), nn.Identity)
    assert isinstance(large.get_submodule("trunk.maxpool"), nn.MaxPool2d)


def test_narrow_is_the_same_family_at_a_quarter_of_the_width() -> None:
    wide, narrow = (
        [
            tuple(layer.weight.shape)
            for layer in build(name, 10, (3, 32, 32), torch.zeros(3), torch.ones(3)).modules()
            if isinstance(layer, nn.Conv2d)
        ]
        for name in ("resnet18", "resnet18-narrow")
    )
    assert sorted((o // 4, i if i == 3 else i // 4, h, w) for o, i, h, w in wide) == sorted(narrow)


@pytest.mark.parametrize("architecture", ["resnet18", "resnet-tiny"])
def test_logits_are_the_head_of_the_features(architecture: str) -> None:
    shape = SHAPES.get(architecture, (3, 32, 32))
    model, x = fold(untrained(architecture, shape)), random_images(shape)
    features = model.features(x)
    assert features.shape == (3, model.head.in_features)
    assert torch.equal(model.head(features), model(x))
    assert model(x).shape == (3, model.classes) == (3, 7)


def test_normalisation_is_inside() -> None:
    model = fold(untrained("resnet-tiny", (3, 8, 8)))
    x = random_images((3, 8, 8))
    bare = fold(untrained("resnet-tiny", (3, 8, 8)))
    bare.mean, bare.std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
    assert torch.equal(model(x), bare((x - model.mean) / model.std))
    assert not torch.allclose(model(x), bare(x))


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


@pytest.mark.parametrize("architecture", ["resnet101", "resnet18-narrow", "resnet-tiny"])
def test_stored_bit_for_bit(architecture: str, tmp_path: Path) -> None:
    shape = SHAPES.get(architecture, (3, 16, 16))
    model = fold(untrained(architecture, shape))
    path, again = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    before = torch.get_rng_state()
    weights.save(model, path)
    loaded = weights.load(path)
    weights.save(loaded, again)
    assert torch.equal(torch.get_rng_state(), before)
    assert path.read_bytes() == again.read_bytes()
    assert same(state(loaded), state(model))
    assert torch.equal(loaded(random_images(shape)), model(random_images(shape)))
    assert (loaded.architecture, loaded.shape, loaded.classes) == (architecture, shape, 7)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_files_that_are_no_classifier(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    weights.save(fold(untrained("resnet-tiny", (1, 8, 8))), good)
    facts = {"architecture": "resnet-tiny", "classes": 7, "shape": [1, 8]}
    spoilt = [
        lambda: None,
        lambda: bad.write_bytes(good.read_bytes()[:200]),
        lambda: bad.write_bytes(b"no tensors"),
        lambda: save_file({"a": torch.zeros(1)}, bad),
        lambda: save_file({"a": torch.zeros(1)}, bad, {"classifier": json.dumps(facts)}),
        lambda: save_file(
            {"a": torch.zeros(1)}, bad, {"classifier": json.dumps({**facts, "shape": [1, 8, 8]})}
        ),
    ]
    for spoil in spoilt:
        spoil()
        with pytest.raises(UserError, match=r"bad\.safetensors") as error:
            weights.load(bad)
        assert len(str(error.value).splitlines()) <= 3


def test_unknown_architecture() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet-tiny'"):
        build("resnet-tony", 10, (1, 8, 8), torch.zeros(1), torch.ones(1))


def test_batch_norm_that_cannot_be_folded_is_refused() -> None:
    model = untrained("resnet-tiny", (1, 8, 8))
    model.trunk = nn.Sequential(nn.BatchNorm2d(1), model.trunk).eval()
    with pytest.raises(ValueError, match="does not follow"):
        fold(model)


def test_published_figures() -> None:
    assert PUBLISHED["gtsrb"].accuracy == 99.12
    assert PUBLISHED["imagenet"].specificity[0.9] == 3.83


@pytest.mark.slow
def test_digits_are_learnt(digits: data.Dataset) -> None:
    splits = [getattr(digits, split) for split in Splits.model_fields]
    test = Images(
        tuple(name for images in splits for name in images.ids),
        torch.cat([images.pixels for images in splits]),
        torch.cat([images.label for images in splits]),
    )
    assert len(test) == 898
    rates = [
        accuracy(train(digits.train, "resnet-tiny", 10, Recipe(), seed), test) for seed in range(3)
    ]
    assert sum(rates) / 3 >= 0.965
