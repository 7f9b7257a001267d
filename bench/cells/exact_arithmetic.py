"""Arithmetic of a GPU like that of a processor: float32, and the same bits every time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact(device: torch.device | str) -> Iterator[None]:
    """What torch does not do by itself on a GPU; a processor needs none of it.

    By itself torch rounds what a convolution multiplies to 10 bits (TF32), so that the confidence
    of one input differs by 1e-4 from batch to batch, and adds in an order that changes from run to
    run. What has no deterministic form runs all the same, with torch's warning.

    Args:
        device: Where the work is done.
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
