import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, logits
from evil_twins.detectors.manifold import AutoEncoder, Manifold, ManifoldScorer, divergence
from tests.detectors.networks import rng

Real = tuple[nn.Module, Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def weights(real: Real) -> dict[str, Tensor]:
    return AutoEncoder(steps=500)(real[1], rng())


def fit(real: Real, weights: dict[str, Tensor], criterion: str = "max") -> ManifoldScorer:
    model, _, others, _ = real
    view = DefenderView(model, others[:80], rng(), weights)
    return Manifold(criterion).fit(view)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [1, 10, 40])
def test_divergence_is_that_of_scipy(temperature: int) -> None:
    z = 8 * torch.randn(2, 20, 7, generator=rng(), dtype=torch.float64) / temperature
    p, q = z.log_softmax(2)
    truth = jensenshannon(p.exp().numpy(), q.exp().numpy(), axis=1) ** 2
    assert torch.allclose(divergence(p, q), torch.from_numpy(truth), rtol=1e-9, atol=1e-15)
    assert (divergence(p, p) < 1e-15).all()


def test_divergence_of_certain_outputs_is_at_most_log_2() -> None:
    z = torch.tensor([[2000.0, 0, 0], [0, 2000.0, 0]], dtype=torch.float64).log_softmax(1)
    assert divergence(z[:1], z[1:]).item() == pytest.approx(0.6931471805599453)


def test_reconstructions_of_unseen_digits_beat_the_mean_image(
    real: Real, weights: dict[str, Tensor]
) -> None:
    _, train, others, _ = real
    reformed = fit(real, weights).reform(others)
    assert reformed.shape == others.shape
    assert reformed.min() >= 0
    assert reformed.max() <= 1
    ours = (others - reformed).square().mean()
    assert ours < 0.2 * (others - train.mean(0)).square().mean()


def test_noise_is_taken_off(real: Real, weights: dict[str, Tensor]) -> None:
    _, _, others, _ = real
    noisy = others + 0.2 * torch.randn(others.shape, generator=rng())
    reformed = fit(real, weights).reform(noisy)
    assert (reformed - others).square().mean() < 0.5 * (noisy - others).square().mean()


def test_criteria_are_what_they_are_said_to_be(real: Real, weights: dict[str, Tensor]) -> None:
    model, _, others, _ = real
    x = others[:9]
    reformed = fit(real, weights).reform(x)
    difference = (x - reformed).flatten(1).double().numpy()
    expected = {"l1": abs(difference).mean(1), "l2": (difference**2).mean(1)}
    for name, t in (("jsd10", 10), ("jsd40", 40)):
        p, q = ((logits(model, y) / t).softmax(1).numpy() for y in (x, reformed))
        expected[name] = jensenshannon(p, q, axis=1) ** 2
    for name, truth in expected.items():
        assert fit(real, weights, name)(x).numpy() == pytest.approx(truth, rel=1e-5, abs=1e-12)


def test_the_maximum_is_the_largest_of_four_benign_scales(
    real: Real, weights: dict[str, Tensor]
) -> None:
    benign, x = real[2][:80], real[2][200:230]
    z = []
    for name in ("l1", "l2", "jsd10", "jsd40"):
        scorer = fit(real, weights, name)
        clean, result = scorer(benign).log(), scorer(x).log()
        middle = clean.median()
        z.append((result - middle) / (1.4826 * (clean - middle).abs().median()))
    assert torch.allclose(fit(real, weights)(x), torch.stack(z).amax(0))


def test_so_many_benign_images_give_the_scales(real: Real, weights: dict[str, Tensor]) -> None:
    model, _, others, _ = real
    few, full = (DefenderView(model, others[:n], rng(), weights) for n in (20, 80))
    x = others[200:230]
    result = Manifold(benign=20).fit(full)(x)
    assert torch.equal(result, Manifold().fit(few)(x))
    assert not torch.equal(result, Manifold().fit(full)(x))


def test_inputs_off_the_manifold_stand_out(real: Real, weights: dict[str, Tensor]) -> None:
    clean = real[2][200:400]
    scorer = fit(real, weights)
    limit = scorer(clean).quantile(0.95)
    noisy = (clean + 0.3 * torch.randn(clean.shape, generator=rng()).sign()).clamp(0, 1)
    assert (scorer(noisy) > limit).double().mean() > 0.9
    noise = torch.rand(50, 1, 8, 8, generator=rng())
    assert (scorer(noise) > scorer(clean).max()).all()  # no ceiling


def test_the_reformer_states_the_class_of_the_reconstruction(
    real: Real, weights: dict[str, Tensor]
) -> None:
    model, _, others, labels = real
    scorer = fit(real, weights)
    result = scorer.details(others)["reformed"]
    assert torch.equal(result, model(scorer.reform(others)).argmax(1).double())
    assert (result == labels).double().mean() > 0.8


def test_the_reformer_states_what_the_class_of_the_image_loses(
    real: Real, weights: dict[str, Tensor]
) -> None:
    model, _, others, _ = real
    scorer = fit(real, weights)
    before, after = (model(x).double().softmax(1) for x in (others, scorer.reform(others)))
    label = before.argmax(1)
    expected = [float(after[i, k] - before[i, k]) for i, k in enumerate(label.tolist())]
    assert scorer.details(others)["confidence_change"].tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 32, 32), (3, 5, 6), (3, 224, 224)])
def test_any_size_of_image_is_reconstructed(shape: tuple[int, ...]) -> None:
    like = torch.rand(2, *shape, generator=rng())
    maker = AutoEncoder(steps=2, batch=2)
    net = maker.trained(like, maker(like, rng()))
    with torch.no_grad():
        assert net(like).shape == like.shape


def test_training_is_a_function_of_images_and_seed(real: Real) -> None:
    maker, images = AutoEncoder(steps=5), real[1][:50]
    state = torch.random.get_rng_state()
    first, second, other = (maker(images, rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])
    assert not any(value.requires_grad for value in first.values())


def test_equal_preparations_are_equal_and_shared() -> None:
    assert Manifold("l1").preparation == Manifold("jsd40").preparation
    assert hash(AutoEncoder()) == hash(AutoEncoder())
    assert AutoEncoder(width=8) != AutoEncoder()


def test_weights_of_another_network_are_refused(real: Real, weights: dict[str, Tensor]) -> None:
    for wrong in ({}, {**weights, "0.weight": torch.zeros(2, 1, 3, 3)}):
        with pytest.raises(ValueError, match="do not fit"):
            fit(real, wrong)
