"""Random numbers from names: hash(data set, target id, purpose, round), without attack or suite.

Two attacks on one target thereby draw with the same numbers, and comparisons stay paired.
"""

import hashlib

import torch


def seed(*names: str | int) -> int:
    """A number in [0, 2**63) that depends on the names and on nothing else."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*names: str | int) -> torch.Generator:
    """A CPU generator that is seeded by the names."""
    return torch.Generator().manual_seed(seed(*names))
