"""Images to score: folders and arrays, and what cannot be read as images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import inputs


def test_images_in_folders_keep_their_names_and_values(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    Image.new("RGB", (4, 3), (0, 51, 255)).save(tmp_path / "b" / "1.png")
    Image.new("L", (4, 3), 51).save(tmp_path / "a.bmp")
    (tmp_path / "notes.txt").write_text("no image")
    names, x, _ = inputs.read(tmp_path, (3, 3, 4))
    assert names == ("a.bmp", "b/1.png")
    assert torch.allclose(x[1, :, 0, 0], torch.tensor([0.0, 0.2, 1.0]))
    assert torch.allclose(x[0], torch.tensor(0.2))
    assert inputs.read(tmp_path, (1, 3, 4))[1].shape == (2, 1, 3, 4)


def test_arrays_are_read_as_they_are(tmp_path: Path) -> None:
    x = torch.rand(2, 1, 3, 4)
    save_file({"x": x, "goal": torch.zeros(2)}, tmp_path / "attacked.safetensors")
    np.save(tmp_path / "x.npy", x.double().numpy())
    for name in ("attacked.safetensors", "x.npy"):
        assert torch.equal(inputs.read(tmp_path / name, (1, 3, 4))[1], x)


@pytest.mark.parametrize(
    "kind", ["size", "damaged", "range of numbers", "none", "range", "nan", "object"]
)
def test_images_that_cannot_be_scored(tmp_path: Path, kind: str) -> None:
    message = {
        "size": "has shape (1, 5, 4), the model expects (1, 3, 4)",
        "damaged": "cannot be read",
        "range of numbers": "the range of its numbers is unknown (mode F)",
        "none": "no image files",
        "range": "float32 from 0 to 255",
        "nan": "expected: floating-point numbers in [0, 1]",
        "object": "Object arrays cannot be loaded",
    }[kind]
    path = tmp_path / "x.npy"
    if kind == "size":
        Image.new("L", (4, 5)).save(tmp_path / "a.png")
    elif kind == "damaged":
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    elif kind == "range of numbers":
        Image.new("F", (4, 3)).save(tmp_path / "a.tif")
    elif kind == "range":
        np.save(path, np.linspace(0, 255, 12, dtype=np.float32).reshape(1, 1, 3, 4))
    elif kind == "nan":
        np.save(path, np.full((1, 1, 3, 4), np.nan))
    elif kind == "object":
        np.save(path, np.array([{}], dtype=object))
    with pytest.raises(UserError) as error:
        inputs.read(path if path.exists() else tmp_path, (1, 3, 4))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 3
