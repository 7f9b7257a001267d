import pytest
import torch
from torch import Tensor, nn

from tests.detectors.networks import digits, digits_model


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def real() -> tuple[nn.Module, Tensor, Tensor, Tensor]:
    """Return a model of digits, its training images, and others with their labels."""
    images, labels = digits()
    return digits_model(images[:900], labels[:900]), images[:900], images[900:], labels[900:]
