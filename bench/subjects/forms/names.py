"""Names of torchvision's data sets that are read, with their files."""

from collections.abc import Mapping

TORCHVISION: Mapping[str, tuple[str, ...]] = {
    "CIFAR10": ("cifar-10-batches-py",),
    "CIFAR100": ("cifar-100-python",),
    "EMNIST": ("EMNIST",),
    "EuroSAT": ("eurosat",),
    "FashionMNIST": ("FashionMNIST",),
    "KMNIST": ("KMNIST",),
    "MNIST": ("MNIST",),
    "QMNIST": ("QMNIST",),
    "SEMEION": ("semeion.data",),
    "STL10": ("stl10_binary",),
    "SVHN": ("train_32x32.mat", "test_32x32.mat"),
    "USPS": ("usps.bz2", "usps.t.bz2"),
}
"""Name -> its folders and files in the folder of data sets."""
