"""Options and data of `check --model` that are refused before a network is built."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.runs import mistake
from tests.contract.networks import arrays, save_arrays

pytestmark = pytest.mark.usefixtures("in_home")


X, Y = arrays()[2], arrays()[3]
FLOATS = X / np.float32(255)
DATA: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"x_test": FLOATS * np.where(FLOATS > 0.9, np.nan, 1)}, "are float"),
    "outside of [0, 1]": ({"x_test": FLOATS * 2 - 1}, "undo a normalisation"),
    "integers": ({"x_test": X.astype(int)}, "remedy: .astype(np.uint8)"),
    "labels out of range": ({"y_test": Y + 1}, "label 4 in the test labels, with 4 classes"),
    "negative labels": ({"y_test": Y - 1}, "label -1"),
    "one class": ({"y_test": Y * 0}, "no test image of class 'b'"),
    "axes": ({"x_test": X.transpose(0, 2, 1, 3)}, "no axis of 1 or 3 channels"),
    "flat": ({"x_test": X.reshape(len(X), -1)}, "have shape (120, 192)"),
    "no images": ({"x_test": X[:0], "y_test": Y[:0]}, "have shape (0, 3, 8, 8)"),
    "fewer labels": ({"y_test": Y[1:]}, "are 119, for 120 images"),
    "float labels": ({"y_test": Y + 0.5}, "are of type float64"),
    "another size": ({"x_test": X[:, :, :4, :4]}, "4"),
}


@pytest.mark.parametrize("name", DATA)
def test_wrong_data_are_refused_before_anything_is_built(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, fault = DATA[name]
    save_arrays(tmp_path / "data.npz", **changes)
    line = ("check", "--model", "mine.py:fails", "--data", str(tmp_path / "data.npz"))
    assert fault in mistake(capsys, *line)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ([], "check takes one thing"),
        (["pgd", "--model", "resnet-tiny"], "check takes one thing"),
        (["--model", "resnet-tini", "--data", "data.npz"], "architecture 'resnet-tini' is not"),
        (["--model", "none.py:build", "--data", "data.npz"], "there is no file"),
        (["--model", "mine.py:build", "--data", "none.npz"], "none.npz"),
        (["--model", "mine.py:build", "--data", "digit"], "did you mean 'digits'?"),
        (["--model", "mine.py:build", "--data", "load.py:load"], "fails: ValueError: no images"),
        (["--model", "mine.py:build"], "the number of classes of mine.py:build is not known"),
        (["--model", "mine.py:build", "--weights", "w.pt"], "the shape of the images of"),
        (["--model", "free.pt2", "--weights", "w.pt"], "free.pt2 brings its weights"),
        (["--model", "mine.py:build", "--normalise", "a/b"], "--normalise a/b"),
        (["--model", "mine.py:build", "--shape", "3,8"], "--shape 3,8"),
        (["--model", "mine.py:build", "--suite", "quik"], "did you mean 'quick'?"),
        (["--model", "resnet-tiny", "--normalise", "0/1"], "'resnet-tiny' normalises by itself"),
    ],
)
def test_mistakes(line: list[str], fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fault in mistake(capsys, "check", *line)
