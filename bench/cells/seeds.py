"""Seed random numbers by names: data set, target id, purpose, round; neither attack nor suite.

So two attacks on one target draw the same numbers, and comparisons stay paired.
"""

import hashlib

import torch


def seed(*names: str | int) -> int:
    """Return a number in [0, 2**63) that depends only on the names."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*names: str | int) -> torch.Generator:
    """Return a CPU generator that is seeded by the names."""
    return torch.Generator().manual_seed(seed(*names))
