"""The number of cores that a run uses by default."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from evil_twins.bench.run import cores
from evil_twins.bench.run.engine import usual_jobs

GROUPS: Mapping[str, tuple[str, Mapping[str, str], int]] = {
    "none": ("", {}, 8),
    "unlimited": ("0::/a", {"a/cpu.max": "max 100000", "cpu.max": "max 100000"}, 8),
    "limited": ("0::/a", {"a/cpu.max": "350000 100000"}, 3),
    "a group above": ("0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2),
    "in a container": ("0::/docker/1", {"cpu.max": "50000 100000"}, 1),
    "old": (
        "7:memory:/x\n3:cpu,cpuacct:/a",
        {"cpu/a/cpu.cfs_quota_us": "400000", "cpu/a/cpu.cfs_period_us": "100000"},
        4,
    ),
    "old, unlimited": (
        "3:cpu,cpuacct:/a",
        {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"},
        8,
    ),
    "strange": ("0::/a", {"a/cpu.max": "many"}, 8),
}


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores without limits."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "GROUPS", tmp_path / "groups")
    for name in cores.SLURM:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", GROUPS)
def test_the_limits_of_control_groups_hold(tmp_path: Path, name: str) -> None:
    membership, files, expected = GROUPS[name]
    (tmp_path / "cgroup").write_text(membership)
    for path, content in files.items():
        file = tmp_path / "groups" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
    assert cores.usable_cores() == expected


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "6"}, 2),
        ({"SLURM_CPUS_ON_NODE": "6"}, 6),
        ({"SLURM_CPUS_ON_NODE": "32"}, 8),
        ({"SLURM_CPUS_PER_TASK": "x"}, 8),
        ({"SLURM_CPUS_PER_TASK": "²"}, 8),
    ],
)
def test_the_cores_of_a_slurm_job_hold(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: int
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cores.usable_cores() == expected


def test_affinity_and_threads_decide_the_usual_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usual_jobs(threads=2, device="cpu") == 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usual_jobs(threads=2, device="cpu") == 1
