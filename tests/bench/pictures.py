"""Image files of noise."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image


def picture(path: Path, size: tuple[int, int] = (12, 12), grey: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int(hashlib.sha256(str(path.name).encode()).hexdigest()[:8], 16)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise if grey is None else np.full_like(noise, grey)).save(path)
    return path
