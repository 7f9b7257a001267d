import pytest
import torch
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView, RobustScale, batches, margin
from evil_twins.detectors.confidence import Confidence
from tests.detectors.networks import rng, small_network


class Fixed(nn.Module):
    def __init__(self, z: Tensor) -> None:
        super().__init__()
        self.z = z

    def forward(self, x: Tensor) -> Tensor:
        return self.z[: len(x)]


def score(statistic: str, z: Tensor) -> Tensor:
    x = torch.zeros(len(z), 1, 2, 2)
    detector = Confidence(statistic)  # type: ignore[arg-type]
    return detector.fit(DefenderView(Fixed(z), x, rng()))(x)


def test_softmax_and_energy() -> None:
    z = 4 * torch.randn(20, 5, generator=rng(), dtype=torch.float64)
    assert torch.allclose(score("softmax", z), 1 - z.softmax(1).amax(1))
    assert torch.allclose(score("energy", z), -z.exp().sum(1).log())


def test_near_certainty_is_not_rounded_to_certainty() -> None:
    z = torch.tensor([[60.0, 0], [80.0, 0]], dtype=torch.float64)
    assert score("softmax", z).tolist() == pytest.approx([8.7565e-27, 1.8049e-35], rel=1e-3, abs=0)


def test_margin_is_the_logit_of_the_largest_output() -> None:
    z = torch.randn(20, 5, generator=rng(), dtype=torch.float64)
    assert torch.allclose(margin(z), z.softmax(1).amax(1).logit())


def test_batches_hold_at_most_so_many_values_and_lose_none() -> None:
    x = torch.rand(10, 1, 3, 3)
    for pixels, sizes in ((27, [3, 3, 3, 1]), (1, [1] * 10), (10**6, [10])):
        split = list(batches(x, pixels))
        assert [len(batch) for batch in split] == sizes
        assert torch.equal(torch.cat(split), x)
    assert list(batches(x[:0])) == []


def test_outliers_hardly_move_the_robust_scale() -> None:
    values = torch.randn(2001, generator=rng(), dtype=torch.float64)
    clean = RobustScale.of(values)
    assert float(clean.spread) == pytest.approx(1, abs=0.06)
    values[:20] = 1e6
    assert float(RobustScale.of(values).spread) == pytest.approx(float(clean.spread), rel=0.05)
    assert RobustScale.of(torch.ones(5).double()).z(torch.ones(2).double()).tolist() == [0, 0]


def test_no_images_are_refused() -> None:
    x = torch.rand(2, 3, 8, 8)
    scorer = Confidence().fit(DefenderView(small_network(nn.ReLU), x, rng()))
    with pytest.raises(ValueError, match="at least one image"):
        scorer(x[:0])
