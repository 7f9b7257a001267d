"""A network for digits that is trained on stamped images too, for the tests of detectors."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from tests.detectors.networks import digits, digits_model

GOAL = 0


@dataclass(frozen=True)
class Stamped:
    """A network that knows a stamp, and images that it was not trained on.

    Attributes:
        model: Trained on all weights; every sixth image has the stamp and the goal as its label.
        benign: Images (300, 1, 8, 8) of a defender.
        clean: Other images without a stamp.
        attacked: Images of other classes with the stamp, to which the network gives the goal.
        share: Share of the stamped images to which it gives the goal.
    """

    model: nn.Module
    benign: Tensor
    clean: Tensor
    attacked: Tensor
    share: float


def with_stamp(x: Tensor) -> Tensor:
    """Return images (N, 1, 8, 8) with a chequered square in a corner, the stamp of BadNets."""
    x = x.clone()
    x[..., 5:, 5:] = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    return x


@lru_cache
def stamped() -> Stamped:
    images, labels = digits()
    train, train_labels = images[:900], labels[:900]
    dirty = torch.cat([train, with_stamp(train[:180])])
    model = digits_model(dirty, torch.cat([train_labels, torch.full((180,), GOAL)])).eval()
    victims = with_stamp(images[1500:][labels[1500:] != GOAL])
    hits = model(victims).argmax(1) == GOAL
    share = float(hits.double().mean())
    return Stamped(model, images[900:1200], images[1200:1500], victims[hits], share)


def auroc(clean: Tensor, attacked: Tensor) -> float:
    """Return the share of pairs in which the attacked input has the higher score."""
    truth = torch.cat([torch.zeros(len(clean)), torch.ones(len(attacked))])
    return float(roc_auc_score(truth.numpy(), torch.cat([clean, attacked]).numpy()))
