"""Write code, weights, programs and data, right and wrong, for `check --model`."""

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.contract.networks import Linear, save_arrays

CODE = """
import os
import sys

from torch import nn

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes))

def three():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))

def fails():
    raise ValueError("no")

def exits():
    sys.exit(3)

def dies():
    os._exit(7)

def nothing():
    return None
"""


def program(module: nn.Module, path: Path) -> None:
    """Store a program whose view fixes a batch of 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(module.eval(), (torch.zeros(1, 3, 8, 8),)), path)


class Fixed(Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z: torch.Tensor = self.fc(x.reshape(1, 192))
        return z


def write(folder: Path) -> None:
    (folder / "mine.py").write_text(CODE)
    (folder / "load.py").write_text("def load():\n    raise ValueError('no images')\n")
    state: dict[str, Any] = {f"1.{name[3:]}": v for name, v in Linear().state_dict().items()}
    torch.save(state, folder / "w.pt")
    for name, other in {
        "nan": state | {"1.bias": state["1.bias"] * torch.nan},
        "three": {"1.weight": torch.zeros(3, 192), "1.bias": torch.zeros(3)},
        "heads": state | {"2.weight": state["1.weight"]},
        "other": {"conv.weight": torch.zeros(4, 3, 3, 3)},
        "empty": {},
        "half": {name: value.half() for name, value in state.items()},
    }.items():
        torch.save(other, folder / f"{name}.pt")
    (folder / "truncated.pt").write_bytes((folder / "w.pt").read_bytes()[:700])
    torch.save({"f": os.getcwd}, folder / "code.pt")
    (folder / "pickle.pt").write_bytes(pickle.dumps(Linear))
    (folder / "bytes.pt").write_bytes(b"")
    program(Linear(), folder / "free.pt2")
    program(Fixed(), folder / "fixed.pt2")
    save_arrays(folder / "data.npz")
