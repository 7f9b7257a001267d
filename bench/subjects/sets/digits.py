"""Read the 1,797 digits of 8 by 8 in scikit-learn, on the 8-bit lattice."""

from pathlib import Path

import numpy as np

from evil_twins.bench.subjects.parts import Half, Parts, Picture, sha

SIZE = None


def read(root: Path | None, download: bool) -> Parts:
    """Cut them in halves: in the order of SHA-256 of their ids, the first half trains.

    They have no official halves, and come with scikit-learn.
    """
    from sklearn.datasets import load_digits  # takes a second to load

    bunch = load_digits()
    pixels = np.rint(bunch.images * 255 / 16).astype(np.uint8)
    names = [f"digits/{i:04d}" for i in range(len(pixels))]
    rank = sorted(range(len(names)), key=lambda i: sha(names[i]))
    middle = (len(rank) + 1) // 2
    parts = []
    for chosen in (sorted(rank[:middle]), sorted(rank[middle:])):
        labels, pictures = bunch.target[chosen].tolist(), [Picture(pixels[i]) for i in chosen]
        parts.append(Half(tuple(names[i] for i in chosen), labels, pictures))
    return tuple(str(digit) for digit in range(10)), parts[0], parts[1]
