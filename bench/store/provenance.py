"""The origin of a result: code, libraries and machine."""

import os
import platform
import re
import resource
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evil_twins.bench.store.soundness import facts_of

PACKAGES = (
    *("evil-twins", "torch", "torchvision", "adversarial-robustness-toolbox", "numpy", "scipy"),
    *("scikit-learn", "pandas", "pyarrow", "safetensors", "seaborn"),
)

PRINTABLE = re.compile(r"[\w.+!-]{1,80}", re.ASCII)
"""Names and versions of distributions; anything else in a file of a stranger is ignored."""

SHOWN = 3
"""Number of cells that are named."""

ROOT = Path(__file__).resolve().parents[2]
CODE = ("attacks", "bench", "detectors", "pyproject.toml")
"""Folders and files of a checkout that decide results."""


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def code() -> dict[str, Any]:
    """Return the versions of the code, of Python and of the main libraries."""
    versions = {name: installed(name) for name in PACKAGES}
    facts: dict[str, Any] = {"python": platform.python_version(), "packages": versions}
    top = _git("rev-parse", "--show-toplevel")
    if top is not None and Path(top) == ROOT:
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
        facts |= {"commit": _git("rev-parse", "HEAD"), "dirty": bool(changed)}
    return facts


def installed(name: str) -> str:
    """Return the version of a distribution here, or "not installed"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


Versions = Mapping[str, Mapping[str, int]]
"""Distribution -> version -> number of cells that depend on it."""


def versions_of(cells: Iterable[Path]) -> Versions:
    """Count the versions of libraries on which stored cells depend.

    Args:
        cells: Folders of finished cells; they may be of a stranger, and of an older version.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for _, name, number in _dependencies(cells):
        counts[name][number] += 1
    return {name: dict(sorted(counts[name].items())) for name in sorted(counts)}


def _dependencies(cells: Iterable[Path]) -> Iterator[tuple[Path, str, str]]:
    """Yield each cell with each library on which it depends, and the version."""
    for folder in cells:
        facts = facts_of(folder)
        for name, number in facts.versions.items() if facts else ():
            if PRINTABLE.fullmatch(name) and PRINTABLE.fullmatch(number):
                yield folder, name, number


def mixed(versions: Versions) -> Iterator[str]:
    """Yield each library of which several versions made the cells, with the numbers of cells."""
    for name, counts in versions.items():
        if len(counts) > 1:
            each = (f"{number} ({count} cells)" for number, count in counts.items())
            yield f"{name} {', '.join(each)}"


def absent(cells: Iterable[Path]) -> Iterator[str]:
    """Yield each version on which cells depend and that is not the one here, with the cells."""
    folders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for folder, name, number in _dependencies(cells):
        folders[name, number].append("/".join(folder.parts[-2:]))
    for (name, number), names in sorted(folders.items()):
        if number != (here := installed(name)):
            which = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            depend = f"{len(names)} stored cells depend on {name} {number}"
            yield f"{depend}; here it is {here}: {which}"


def forget_peak() -> None:
    """Reset `peak`, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the most memory in MiB that this process held since `forget_peak`, or else ever."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@lru_cache(maxsize=2)
def machine(device: str) -> dict[str, Any]:
    """Return the hardware."""
    facts: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "device": device,
    }
    if device == "cuda":
        import torch

        facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
