"""Detectors that change the process in which they run."""

import argparse
import math
import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from evil_twins.bench.components.containment import component_runs
from evil_twins.detectors.base import DefenderView


def _patch_softmax() -> None:
    usual = torch.Tensor.softmax
    torch.Tensor.softmax = lambda x, *rest: usual(3 * x, *rest)  # type: ignore[method-assign]


def _patch_product() -> None:
    usual = torch.Tensor.__matmul__
    torch.Tensor.__matmul__ = lambda x, y: usual(3 * x, y)  # type: ignore[method-assign]


STATE: Mapping[str, Callable[[], Any]] = {
    "torch's global random numbers": lambda: torch.rand(3),
    "NumPy's global random numbers": lambda: np.random.rand(3),
    "Python's global random numbers": random.random,
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "torch's precision of products": lambda: torch.set_float32_matmul_precision("medium"),
    "whether torch records gradients": lambda: torch.set_grad_enabled(False),
    "whether torch looks for anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "whether torch casts by itself": lambda: torch.set_autocast_enabled("cpu", True),
    "whether torch must be deterministic": lambda: torch.use_deterministic_algorithms(True),
    "whether tiny numbers become 0": lambda: torch.set_flush_denormal(True),
    "whether torch attends by flash": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "whether torch attends by plain products": lambda: torch.backends.cuda.enable_math_sdp(False),
    "torch.backends.mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch.backends.cudnn.enabled": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.backends.cudnn.deterministic": lambda: setattr(
        torch.backends.cudnn, "deterministic", True
    ),
    "NumPy's treatment of errors": lambda: np.seterr(all="raise"),
}
"""Part of the state that is restored -> a change of it."""

OTHERS: Mapping[str, Callable[[], Any]] = {
    "softmax": _patch_softmax,
    "product": _patch_product,
    "logarithm": lambda: setattr(math, "log", math.exp),
    "environment": lambda: os.environ.update(MEDDLED="1"),
    "folder": lambda: os.chdir("/"),
}
"""Changes that nothing can restore."""

ENDS: Mapping[str, Callable[[], Any]] = {
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    "arguments": lambda: argparse.ArgumentParser().parse_args(["--unknown"]),
}
"""Ends of a program."""

CHANGES = {**STATE, **OTHERS, **ENDS}


def change(part: str) -> int:
    """Make one of `CHANGES` as a component does; return the process."""
    with component_runs():
        CHANGES[part]()
    return os.getpid()


@dataclass(frozen=True)
class Meddler:
    """A detector whose fit makes one of `CHANGES`, by its number; it scores by its process."""

    change: int = -1
    knowledge: ClassVar[str] = "K0"

    @property
    def preparation(self) -> None:
        return

    def fit(self, view: DefenderView) -> Callable[[Tensor], Tensor]:
        if self.change >= 0:
            list(CHANGES.values())[self.change]()
        return lambda x: torch.full((len(x),), os.getpid(), dtype=torch.float64, device="cpu")
