"""Read the images of a user: a folder of image files, or an array in a file."""

from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import read_array
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files
from evil_twins.bench.subjects.readers import DAMAGE

MODES = {1: "L", 3: "RGB"}
EXACT = ("1", "L", "LA", "P", "RGB", "RGBA")
"""Modes of image files with at most eight bits a channel."""

Shape = tuple[int, int, int]
Images = tuple[tuple[str, ...], Tensor]


def read(path: Path, shape: Shape) -> Images:
    """Read names and images (N, C, H, W) float32 in [0, 1].

    Args:
        path: A folder of image files, at any depth; or a .npy or .safetensors file with an array
            (N, C, H, W) of floating-point numbers in [0, 1], or of whole numbers from 0 to 255.
        shape: (C, H, W) of a model.

    Raises:
        UserError: There are none, or one is damaged or of another shape or range.
    """
    if path.is_dir():
        return _folder(path, shape)
    if not path.is_file():
        raise UserError(f"there is no {path}\nexpected: a folder of images, .npy or .safetensors")
    x = _array(path)
    if x.dim() != 4 or tuple(x.shape[1:]) != shape or not len(x):
        raise UserError(
            f"{path}: an array of shape {tuple(x.shape)}\n"
            f"expected: (N, {str(shape)[1:]}, as the model has it, and at least one image"
        )
    if x.dtype == torch.uint8:
        x = x / 255
    if not x.is_floating_point() or not bool(((x >= 0) & (x <= 1)).all()):
        raise UserError(
            f"{path}: {x.dtype} from {float(x.min()):g} to {float(x.max()):g}\n"
            "expected: floating-point numbers in [0, 1], or uint8 from 0 to 255"
        )
    return tuple(str(i) for i in range(len(x))), x.float()


def _array(path: Path) -> Tensor:
    try:
        if path.suffix == ".safetensors":
            with files.opened(path, None) as file:
                tensors = load_file(files.path_of(file))
            if "x" in tensors or len(tensors) == 1:
                return tensors.get("x", next(iter(tensors.values())))
            raise ValueError(f"it holds {', '.join(tensors) or 'nothing'}, and none of them is x")
        with files.opened(path, None) as file:
            return torch.from_numpy(np.ascontiguousarray(read_array(file)))
    except (SafetensorError, *DAMAGE) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: {reason}\nexpected: .npy, or .safetensors with x") from error


def _folder(folder: Path, shape: Shape) -> Images:
    extensions = Image.registered_extensions()
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in extensions)
    if not paths:
        raise UserError(f"{folder}: no image files\nexpected: at least one, such as .png")
    x = torch.stack([_file(path, folder, shape) for path in paths])
    return tuple(path.relative_to(folder).as_posix() for path in paths), x


def _file(path: Path, folder: Path, shape: Shape) -> Tensor:
    try:
        with files.opened(path, folder) as file, Image.open(file) as image:
            mode = image.mode
            pixels = np.atleast_3d(np.asarray(image.convert(MODES.get(shape[0], "RGB"))))
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} cannot be read: {reason}\nremedy: remove or fix it") from error
    x = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    if mode not in EXACT:
        raise UserError(
            f"{path} has pixels of mode {mode}\n"
            "remedy: save it with eight bits a channel, or all images as one array (.npy)"
        )
    if tuple(x.shape) != shape:
        raise UserError(
            f"{path} has shape {tuple(x.shape)}, the model expects {shape}\n"
            "remedy: resize it as the model's training images were resized"
        )
    return x / 255
