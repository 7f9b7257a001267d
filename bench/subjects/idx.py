"""Check images that torchvision has read from IDX files, whose names promise a shape."""

from typing import Any

SHAPE = (28, 28)
"""Height and width of the images of MNIST and of the data sets in its form."""


def check(half: str, images: Any, labels: Any) -> None:
    """Check shape and count of the images of a half against SHAPE and their labels.

    Raises:
        ValueError: They are another data set, or images and labels are not of the same one.
    """
    if tuple(images.shape[1:]) != SHAPE or len(images) != len(labels):
        raise ValueError(
            f"the {half} files hold {len(images)} images of {tuple(images.shape[1:])} and "
            f"{len(labels)} labels, where images of {SHAPE} and as many labels were expected"
        )
