"""Make a GPU compute as a processor does: in float32, and the same bits every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact(device: torch.device | str) -> Iterator[None]:
    """Set torch to exact and deterministic arithmetic on a GPU; leave a processor as it is.

    By default torch rounds the factors of a convolution to 10 bits (TF32), so that the confidence
    of one input differs by 1e-4 from batch to batch. It also adds in an order that changes from
    run to run. An operation without a deterministic form still runs, with torch's warning.
    """
    if torch.device(device).type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = torch.are_deterministic_algorithms_enabled()
    warning = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warning)
