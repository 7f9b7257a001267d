"""Networks in memory against the contract of a victim."""

import copy

import pytest
import torch
from torch import nn

import evil_twins as et
from tests.api.small_networks import data, trained


def test_a_sound_network_passes_on_its_data() -> None:
    network = copy.deepcopy(trained()).train()
    rows = et.check(network, data()).set_index("clause")
    assert set(rows["outcome"]) <= {"passed", "n/a"}
    assert "accuracy" in rows.loc["accurate", "note"]
    assert network.training


def test_a_shape_is_enough_for_all_but_accuracy() -> None:
    rows = et.check(trained(), shape=(1, 8, 8)).set_index("clause")
    assert rows.loc["accurate", "outcome"] == "n/a"
    assert rows.loc["last_layer", "outcome"] == "passed"


def test_what_is_wrong_has_a_remedy() -> None:
    model = nn.Sequential(trained(), nn.Softmax(1))
    rows = et.check(model, data()).query("outcome == 'failed'")
    assert list(rows["clause"]) == ["no_probabilities"]
    assert rows["remedy"].str.len().min() > 0


def test_without_data_and_shape_nothing_is_known() -> None:
    with pytest.raises(et.UserError, match="the shape of the images is not known"):
        et.check(nn.Linear(1, 1))
    with pytest.raises(et.UserError, match="of images of one size"):
        et.check(trained(), ([torch.zeros(1, 2), torch.zeros(3)], [0, 1]))


def test_remedies_are_those_of_a_network_in_memory() -> None:
    class Changed(nn.Module):
        def __init__(self, order: list[int], factor: float) -> None:
            super().__init__()
            self.inner, self.order, self.factor = trained(), order, factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z: torch.Tensor = self.inner(x * self.factor)
            return z[:, self.order]

    rows = et.check(Changed([*range(10)], 1 / 255), data()).set_index("clause")
    expected = "nn.Sequential(torchvision.transforms.Normalize([0], [0.003922]), network)"
    assert rows.loc["pixel_scale", "remedy"] == expected
    rows = et.check(Changed([1, 2, 3, 4, 5, 6, 7, 8, 9, 0], 1.0), data()).set_index("clause")
    assert "z[:, [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]]" in rows.loc["accurate", "remedy"]
    for count, remedy in ((7, "add outputs"), (12, "by outputs=")):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, count))
        rows = et.check(model, data()).set_index("clause")
        assert remedy in rows.loc["has_classes", "remedy"]
    noise = et.check(trained(), shape=(1, 8, 8)).set_index("clause")
    assert not noise["fault"].str.contains("--").any()


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(et.UserError, match="is of type dict"):
        et.check({"a": trained()}, shape=(1, 8, 8))  # type: ignore[arg-type]


def test_a_network_of_more_outputs_than_classes_names_them() -> None:
    x, y = data()
    names = [str(i) for i in range(10)]
    few = (x[y < 4], y[y < 4])
    rows = et.check(trained(), few, classes=names[:4], outputs=names).set_index("clause")
    assert "10 outputs, of which 4 are used" in rows.loc["has_classes", "note"]
    assert rows.loc["accurate", "outcome"] == "passed"
