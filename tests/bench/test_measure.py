"""What a cell measures of a model that an attack has left."""

import pytest
import torch

from bench.cells.measure import log_odds


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double()
    goal = torch.tensor([0, 1, 2, 3, 0])
    share = logits.softmax(1)[torch.arange(5), goal]
    torch.testing.assert_close(log_odds(logits, goal), torch.logit(share))


def test_log_odds_tell_confidences_apart_that_round_to_one() -> None:
    logits = torch.tensor([[50.0, 0.0], [90.0, 0.0]]).double()
    goal = torch.zeros(2, dtype=torch.int64)
    assert logits.softmax(1)[:, 0].tolist() == [1.0, 1.0]
    assert log_odds(logits, goal).tolist() == pytest.approx([50.0, 90.0])
