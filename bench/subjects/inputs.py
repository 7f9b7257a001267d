"""Read the images that `score` takes: a folder of image files, or an array in one file."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import read_array
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files
from evil_twins.bench.subjects.image_files import decode, listed
from evil_twins.bench.subjects.parts import DAMAGE, Tally
from evil_twins.bench.subjects.tally_words import tally_lines

MODES = {1: "L", 3: "RGB"}
"""Mode of pixels of a model with so many channels."""

Shape = tuple[int, int, int]
Images = tuple[tuple[str, ...], Tensor, Tally]


def read(path: Path, shape: Shape) -> Images:
    """Read names, images (N, C, H, W) float32 in [0, 1], and numbers of conversions.

    Args:
        path: A folder of image files, at any depth; or a .npy or .safetensors file with an array
            (N, C, H, W) of floating-point numbers in [0, 1], or of whole numbers from 0 to 255.
        shape: (C, H, W) of a model.

    Raises:
        UserError: There are none, or one is damaged or of another shape or range.
    """
    if path.is_dir():
        return _folder(path, shape)
    if not path.exists():
        raise UserError(f"there is no {path}", "expected: a folder of images, .npy or .safetensors")
    x = _array(path)
    if x.dim() != 4 or tuple(x.shape[1:]) != shape or not len(x):
        raise UserError(
            f"{path}: an array of shape {tuple(x.shape)}",
            f"expected: (N, {str(shape)[1:]}, as the model has it, and at least one image",
        )
    if x.dtype == torch.uint8:
        x = x / 255
    if not x.is_floating_point() or not bool(((x >= 0) & (x <= 1)).all()):
        raise UserError(
            f"{path}: {x.dtype} from {float(x.min()):g} to {float(x.max()):g}",
            "expected: floating-point numbers in [0, 1], or uint8 from 0 to 255",
        )
    return tuple(str(i) for i in range(len(x))), x.float(), Tally()


def _array(path: Path) -> Tensor:
    try:
        with files.opened(path, None) as file:
            if path.suffix != ".safetensors":
                return torch.from_numpy(np.ascontiguousarray(read_array(file)))
            tensors = load_file(files.path_of(file))
            if "x" in tensors or len(tensors) == 1:
                return tensors.get("x", next(iter(tensors.values())))
            raise ValueError(f"it holds {', '.join(tensors) or 'nothing'}, and none of them is x")
    except (SafetensorError, *DAMAGE) as error:
        raise UserError(
            f"{path}: {why(error)}", "expected: .npy, or .safetensors with x"
        ) from error


def _folder(folder: Path, shape: Shape) -> Images:
    listing = listed(folder)
    if not listing.paths:
        skipped = "; ".join(tally_lines(Tally(skipped=listing.skipped), str(folder)))
        raise UserError(
            f"{skipped or folder}: no image files",
            "expected: at least one, such as .png",
        )
    pictures, converted = [], Counter[str]()
    for path in listing.paths:
        picture = decode(path, folder, MODES.get(shape[0], "RGB"))
        converted.update(picture.conversions)
        pixels = np.atleast_3d(np.asarray(picture.pixels)).transpose(2, 0, 1)
        if pixels.shape != shape:
            raise UserError(
                f"{path} has shape {pixels.shape}, the model expects {shape}",
                "remedy: resize it as the model's training images were resized",
            )
        pictures.append(torch.from_numpy(pixels.copy()) / 255)
    return listing.names, torch.stack(pictures), Tally(converted, listing.skipped)
