import numpy as np
import pytest
import torch
from scipy.stats import median_abs_deviation
from torch import Tensor, nn

from evil_twins.detectors.base import DefenderView
from evil_twins.detectors.last_layer import LastLayer, class_values, rows
from evil_twins.detectors.outliers import robust_z
from tests.detectors.backdoors import success, trained
from tests.detectors.networks import Headed, digits_network, rng

LIKE = torch.zeros(1, 1, 4, 4)


def layer(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    head = nn.Linear(weight.shape[1], len(weight), bias is not None).to(weight.dtype)
    head.weight.data = weight
    if bias is not None:
        head.bias.data = bias
    return head


def model(head: nn.Module) -> nn.Module:
    return Headed(nn.Sequential(nn.Flatten(), head)).eval().requires_grad_(False)


def score(head: nn.Module, statistic: str = "shift") -> float:
    inspector = LastLayer(statistic)  # type: ignore[arg-type]
    return inspector.inspect(DefenderView(model(head), LIKE, rng()))


def random_rows(classes: int = 10) -> tuple[Tensor, Tensor]:
    source = rng()
    return (
        torch.randn(classes, 16, generator=source, dtype=torch.float64),
        torch.randn(classes, generator=source, dtype=torch.float64),
    )


def test_scores_are_those_of_numpy_and_scipy() -> None:
    weight, bias = random_rows()
    table = np.concatenate([weight.numpy(), bias.numpy()[:, None]], 1)
    table -= table.mean(0)
    cosines = table @ np.ones(17) / np.linalg.norm(table, axis=1) / 17**0.5
    shift = cosines.max() - np.median(cosines)
    assert score(layer(weight, bias)) == pytest.approx(shift)
    spread = median_abs_deviation(cosines, scale="normal")
    anomaly = score(layer(weight, bias), "anomaly")
    assert anomaly == pytest.approx(shift / spread, rel=1e-5)  # 1.4826 is rounded


def test_a_planted_row_of_ones_stands_out_by_its_closed_form() -> None:
    # Rows ±e without a sum, and a class whose row is a multiple of ones: centred, K - 1 rows have
    # the sum -a D / K, and the planted one is parallel to ones.
    classes, size, a = 6, 16, 2.0
    weight = torch.zeros(classes, size, dtype=torch.float64)
    for c in range(classes - 1):
        weight[c, 2 * c], weight[c, 2 * c + 1] = 1, -1
    mean = weight.mean(0)
    weight -= mean * classes / (classes - 1)  # the other rows sum to 0
    weight[-1] = a
    others = weight[:-1] - a / classes
    cosines = others.sum(1) / others.norm(dim=1) / size**0.5
    values = class_values(weight)
    assert values[-1].item() == pytest.approx(1)
    assert torch.allclose(values[:-1], cosines)
    assert int(values.argmax()) == classes - 1


def test_stronger_planted_rows_score_more() -> None:
    weight, bias = random_rows()
    for statistic in ("shift", "anomaly"):
        scores = []
        for strength in (0.0, 1.0, 3.0):
            planted = weight.clone()
            planted[4] += strength
            scores.append(score(layer(planted, bias), statistic))
        assert scores == sorted(set(scores))
        assert int(class_values(rows(model(layer(planted, bias)))).argmax()) == 4


def test_neither_the_order_of_classes_nor_a_common_row_nor_the_scale_changes_a_score() -> None:
    weight, bias = random_rows()
    order = torch.randperm(10, generator=rng(1))
    common = torch.randn(16, generator=rng(2), dtype=torch.float64)
    for statistic in ("shift", "anomaly"):
        expected = pytest.approx(score(layer(weight, bias), statistic))
        assert score(layer(weight[order], bias[order]), statistic) == expected
        assert score(layer(weight + common, bias + 5), statistic) == expected
        assert score(layer(3 * weight, 3 * bias), statistic) == expected
        assert score(layer(weight.float(), bias.float()), statistic) == pytest.approx(
            score(layer(weight, bias), statistic), rel=1e-4
        )


def test_a_layer_without_a_bias_is_one_with_a_bias_of_zero() -> None:
    weight, bias = random_rows()
    assert score(layer(weight)) == score(layer(weight, 0 * bias))
    assert score(layer(weight)) != score(layer(weight, bias))


def test_the_goal_of_a_backdoor_has_the_row_of_the_largest_sum() -> None:
    for goal in (2, 7):
        net = digits_network()
        backdoored = trained(net, goal, goal)
        assert success(backdoored, goal) > 0.8
        values = class_values(rows(Headed(net)))
        assert int(values.argmax()) == goal
        assert values.amax() - values.quantile(0.5) > 0.1


def test_models_without_a_linear_last_layer_are_refused() -> None:
    with pytest.raises(ValueError, match="the head of Sequential is NoneType"):
        rows(nn.Sequential(nn.Flatten()))
    with pytest.raises(ValueError, match="the head of Headed is Tanh"):
        rows(Headed(nn.Sequential(nn.Linear(4, 4), nn.Tanh())))
    identity = layer(torch.eye(5))
    del identity.weight
    identity.register_buffer("weight", torch.eye(5))
    with pytest.raises(ValueError, match="no linear last layer"):
        rows(model(identity))


def test_models_without_an_outlier_are_refused() -> None:
    weight, bias = random_rows(3)
    with pytest.raises(ValueError, match="4 classes at least; the model has 3"):
        score(layer(weight, bias))
    with pytest.raises(ValueError, match="none is an outlier"):
        robust_z(torch.tensor([1.0, 1, 1, 5, 1]).double())
    assert score(layer(torch.zeros(4, 3))) == 0
    with pytest.raises(ValueError, match='"shift" or "anomaly"'):
        LastLayer("norm")  # type: ignore[arg-type]
