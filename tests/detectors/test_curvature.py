from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, logits, margin
from evil_twins.detectors.curvature import Curvature, Profile, top_eigenvalues
from tests.detectors.networks import linear, rng, small_network

Real = tuple[nn.Module, Tensor, Tensor, Tensor]


def view(real: Real) -> DefenderView:
    return DefenderView(real[0], real[2][:100], rng())


def test_the_score_is_the_mean_magnitude() -> None:
    model = small_network(nn.SiLU, side=4).double()
    x = torch.rand(3, 3, 4, 4, generator=rng()).double()
    values = top_eigenvalues(model, x, 6)
    assert (values < 0).any()
    scorer = Curvature(6).fit(DefenderView(model, x, rng()))
    assert torch.allclose(scorer(x), values.abs().sum(1) / 6)


def test_two_classes_in_closed_form() -> None:
    weight = torch.randn(2, 64, generator=rng(), dtype=torch.float64)
    model = linear(weight, torch.zeros(2, dtype=torch.float64))
    x = torch.rand(5, 1, 8, 8, generator=rng(), dtype=torch.float64)
    p = model(x).softmax(1).amax(1)
    expected = p * (1 - p) * (weight[0] - weight[1]).square().sum()
    assert torch.allclose(Curvature(1).fit(DefenderView(model, x, rng()))(x), expected)
    assert torch.allclose(Curvature(4).fit(DefenderView(model, x, rng()))(x), expected / 4)


def test_the_steepness_of_a_linear_model_does_not_depend_on_confidence() -> None:
    weight = torch.randn(2, 64, generator=rng(), dtype=torch.float64)
    model = linear(weight, torch.zeros(2, dtype=torch.float64))
    x = 3 * torch.randn(9, 1, 8, 8, generator=rng(1), dtype=torch.float64)
    steepness, confidence = Profile(model, 1).steepness(x)
    assert confidence.max() > confidence.min() + 5
    assert torch.allclose(steepness, (weight[0] - weight[1]).square().sum().log().expand(9))
    assert torch.allclose(confidence, (x.flatten(1) @ (weight[0] - weight[1])).abs())


def test_the_raw_profile_reads_confidence_and_the_adjusted_one_hardly(real: Real) -> None:
    x = real[2][100:500]
    sure = margin(logits(real[0], x))
    raw = spearmanr(Curvature().fit(view(real))(x), sure).statistic
    adjusted = spearmanr(Curvature(adjust=True).fit(view(real))(x), sure).statistic
    assert raw < -0.9
    assert abs(adjusted) < 0.35


def test_so_many_benign_images_serve_for_the_adjustment(real: Real) -> None:
    full, x = view(real), real[2][100:110]
    few = replace(full, benign=full.benign[:20])
    scored = Curvature(adjust=True, benign=20).fit(full)(x)
    assert torch.equal(scored, Curvature(adjust=True).fit(few)(x))
    assert not torch.equal(scored, Curvature(adjust=True).fit(full)(x))


def test_the_adjusted_score_is_centred_on_benign_inputs_and_has_no_ceiling(real: Real) -> None:
    scorer = Curvature(adjust=True).fit(view(real))
    x = real[2][100:500]
    scored = scorer(x)
    assert abs(float(scored.median())) < 0.4
    assert 0.3 < float((scored.abs() < 0.6745).double().mean()) < 0.7
    # The same confidence from a function twice, four times as steep.
    scores = []
    for scale in (1.0, 2.0, 4.0):

        class Steep(nn.Module):
            def __init__(self, scale: float) -> None:
                super().__init__()
                self.scale = scale

            def forward(self, y: Tensor) -> Tensor:
                return real[0](x[:5] + self.scale * (y - x[:5]))

        scores.append(type(scorer)(type(scorer.profile)(Steep(scale), 5), *_line(scorer))(x[:5]))
    assert (scores[0] < scores[1]).all()
    assert (scores[1] < scores[2]).all()
    assert torch.allclose(scores[2] - scores[1], scores[1] - scores[0], rtol=1e-3)


def _line(scorer: object) -> tuple[object, object]:
    return scorer.slope, scorer.scale  # type: ignore[attr-defined]


@pytest.mark.parametrize(("activation", "exact"), [(nn.ReLU, 1.0), (nn.GELU, 0.0)])
def test_details_say_which_path_was_taken(activation: type[nn.Module], exact: float) -> None:
    x = torch.rand(3, 3, 8, 8, generator=rng())
    scorer = Curvature().fit(DefenderView(small_network(activation), x, rng()))
    assert scorer.details(x)["exact"].tolist() == [exact] * 3


def test_what_it_needs_depends_on_what_it_does() -> None:
    assert Curvature().knowledge == "K0"
    assert Curvature(adjust=True).knowledge == "K1"
