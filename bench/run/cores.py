"""The number of cores that this process may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MEMBERSHIP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
"""Where Linux lists the control groups of this process, and the limits of each group."""

SLURM = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""Variables with the cores of a Slurm job, the most special first."""


def usable_cores() -> int:
    """Return how many cores this process may use: by affinity, control groups and Slurm."""
    return max(1, int(min([_affinity(), *_quotas(), *_slurm()])))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """Yield the quota of each control group of this process and of the groups that hold it."""
    lines = MEMBERSHIP.read_text().splitlines() if MEMBERSHIP.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = GROUPS / "cpu" if controllers else GROUPS
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                with suppress(OSError, ValueError):  # no limit, or no such group in a container
                    yield _quota(folder, old=bool(controllers))


def _quota(group: Path, *, old: bool) -> float:
    """Return the cores of a group, of the old or the present form of control groups.

    Raises:
        OSError: The group has no such file.
        ValueError: It has no limit.
    """
    if old:
        files = group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us"
        quota, period = (int(file.read_text()) for file in files)
    else:
        quota, period = map(int, (group / "cpu.max").read_text().split())
    if quota <= 0 or period <= 0:
        raise ValueError("no limit")
    return quota / period


def _slurm() -> Iterator[int]:
    for name in SLURM:
        value = os.environ.get(name, "")
        if value.isascii() and value.isdigit():
            yield int(value)
            return
