"""Explain the errors of torchvision about files of data sets."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from sys import stderr

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.subjects.parts import DAMAGE


@contextmanager
def explained(name: str, place: str) -> Iterator[None]:
    """Raise a `UserError` that says which files are expected, if they are missing or damaged.

    Args:
        name: The data set.
        place: The files that are expected, with their place.
    """
    try:
        with redirect_stdout(stderr):
            yield
    except DAMAGE as error:
        # Without torchvision's advice to change the code.
        raise UserError(
            f"{name}: {why(error).split(' You can use download=True')[0]}",
            f"expected: {place}",
            f"remedy: put it there, or fetch it with --download; a folder of yours is './{name}'",
        ) from error
