"""Imports go in one direction, and records are read without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    result = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_reading_records_loads_no_torch() -> None:
    """In a process of its own, where nothing else was imported."""
    modules = ["evil_twins", "evil_twins.bench.commands.app", "evil_twins.bench.suite.suite"]
    modules += [
        f"evil_twins.bench.analysis.{name}"
        for name in ("generality.write", "stats", "tables", "plots", "page")
    ]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
