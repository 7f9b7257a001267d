"""What made a result: code, packages and machine."""

import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "evil-twins",
    "torch",
    "torchvision",
    "adversarial-robustness-toolbox",
    "numpy",
    "scipy",
    "scikit-learn",
    "statsmodels",
    "pandas",
    "pyarrow",
    "safetensors",
    "seaborn",
)

ROOT = Path(__file__).resolve().parents[2]
CODE = ("attacks", "bench", "detectors", "pyproject.toml")
"""What of a checkout decides results."""


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def code() -> dict[str, Any]:
    """Versions of the code and of the packages under it."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    found: dict[str, Any] = {"python": platform.python_version(), "packages": versions}
    top = _git("rev-parse", "--show-toplevel")
    if top is not None and Path(top) == ROOT:
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
        found |= {"commit": _git("rev-parse", "HEAD"), "dirty": bool(changed)}
    return found


def forget_peak() -> None:
    """Let `peak` count from now on, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """The most memory that this process held since `forget_peak`, or else ever, in MiB."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@lru_cache(maxsize=2)
def machine(device: str) -> dict[str, Any]:
    """The hardware."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": device,
    }
    if device == "cuda":
        import torch

        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def command() -> list[str]:
    """What the user typed, under the name that the program has everywhere."""
    return ["evil-twins", *sys.argv[1:]]
