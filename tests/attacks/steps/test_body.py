"""The metric of the body against exact Fisher informations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from evil_twins.attacks.models import Victim
from evil_twins.attacks.steps import body
from evil_twins.attacks.steps.body import body_metric
from evil_twins.attacks.steps.factors import BODY_DAMPING, LEAST_CURVATURE
from evil_twins.attacks.steps.fisher import Body
from evil_twins.attacks.steps.model import ModelStep, ModelWalk
from evil_twins.attacks.steps.treatment import Treatment
from tests.attacks import worlds

FLOOR = 0.1


class Headed(nn.Module):
    """A trunk with three features, and a head."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(3, 5)
        self.double().eval()

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Scale(nn.Module):
    """Multiplies its inputs by parameters."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((3,), start))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def victim(build: Callable[[], nn.Module]) -> Headed:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Headed(build())


def metric(model: Victim, images: Tensor) -> Body:
    treatment = Treatment.of(model, images, "diagonal")
    return body_metric(model, images, FLOOR, torch.Generator().manual_seed(0), treatment)


def covariance(model: Headed, image: Tensor) -> Tensor:
    """Compute diag p - ppᵀ + floor of the label, in features (3, 3)."""
    p, w = model(image).detach().softmax(1)[0], model.head.weight.detach()
    return w.T @ (p.diag() - p.outer(p) + FLOOR * torch.eye(5)) @ w


IMAGE = torch.rand(1, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_it_is_the_fisher_information_of_a_linear_body() -> None:
    model = victim(lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    inverse = metric(model, IMAGE.expand(20_000, -1, -1, -1)).kronecker["trunk.1"]
    row = torch.cat([IMAGE.flatten(), torch.ones(1)])
    expected = row.outer(row), covariance(model, IMAGE)
    pair = inverse.inputs, inverse.outputs
    for factor, exact, rtol in zip(pair, expected, (1e-7, 0.06), strict=True):
        damping = BODY_DAMPING**0.5 * exact.diagonal().mean() * torch.eye(len(exact))
        error = (torch.linalg.inv(factor) - exact - damping).norm() / exact.norm()
        assert error < rtol


def test_the_diagonal_is_that_of_the_fisher_information(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "DRAWS", 200)
    model = victim(lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3), Scale()))
    scale = metric(model, IMAGE.expand(2_000, -1, -1, -1)).diagonal["trunk.2.scale"]
    inside = model.trunk[:2](IMAGE).detach()[0]  # type: ignore[index]
    exact = inside.square() * covariance(model, IMAGE).diagonal()
    torch.testing.assert_close(1 / scale, exact + BODY_DAMPING * exact.mean(), rtol=0.06, atol=0)


def test_a_nearly_flat_layer_makes_no_giant_steps() -> None:
    """A branch scaled by ε has the curvature ε²; undamped its step would be 1/ε times as long."""

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch = nn.Linear(4, 3), nn.Linear(3, 3)
            self.scale = Scale(1e-6)

        def forward(self, x: Tensor) -> Tensor:
            y = self.stem(x.flatten(1))
            return y + self.scale(self.branch(y))

    model = victim(Branch)
    result = metric(model, torch.rand(64, 1, 2, 2, dtype=torch.float64))
    leaves = dict(model.named_parameters())
    z = model(IMAGE)[0, 0] - model(IMAGE)[0, 1]
    slopes = dict(zip(leaves, torch.autograd.grad(z, list(leaves.values())), strict=True))
    far = {}
    for name in ("stem", "branch"):
        w, b = (slopes[f"trunk.{name}.{part}"].unsqueeze(0) for part in ("weight", "bias"))
        far[name] = float(result.kronecker[f"trunk.{name}"](w, b)[0].norm())
    assert far["branch"] < 1e-6 / (BODY_DAMPING * LEAST_CURVATURE) * far["stem"]
    assert 0 < float(result.diagonal["trunk.scale.scale"].max()) < 1e6


def test_the_body_moves_by_its_share_of_a_newton_step() -> None:
    """In the first step KL's gradient is 0, and all that moves does so for the margin."""

    def shares(body: float) -> Tensor:
        view = worlds.view(dtype=torch.float64)
        walk = ModelWalk(ModelStep("all", body=body), view)
        walk.advance(view.targets.x.unsqueeze(1), torch.arange(6), 1.0, torch.inf, 1.0)
        named = dict(view.victim.named_parameters())  # type: ignore[attr-defined]
        far = {
            name: (value - named[name]).flatten(1) for name, value in walk.models.parameters.items()
        }
        head, rest = (
            torch.cat([v for k, v in far.items() if k.startswith("head.") == last], 1).norm(dim=1)
            for last in (True, False)
        )
        return rest / head

    torch.testing.assert_close(shares(0.5), 5 * shares(0.1))
    assert (shares(0.1) > 0).all()


def test_it_leaves_no_hooks_and_its_factors_are_positive() -> None:
    view = worlds.view()
    result = metric(view.victim, view.reference.x)
    assert set(result.kronecker) == {"trunk.0", "trunk.2", "trunk.5"}
    for inverse in result.kronecker.values():
        for factor in (inverse.inputs, inverse.outputs):
            assert (torch.linalg.eigvalsh(factor.double()) > 0).all()
    assert not any(m._forward_hooks for m in view.victim.modules())  # type: ignore[attr-defined]
