"""Networks in memory against the contract of a victim."""

import pytest
import torch
from torch import nn

import evil_twins as et
from tests.api.small_networks import data, trained


def test_a_sound_network_passes_on_its_data() -> None:
    rows = et.check(trained(), data()).set_index("clause")
    assert set(rows["outcome"]) <= {"passed", "n/a"}
    assert "accuracy" in rows.loc["accurate", "note"]
    assert trained().training


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
