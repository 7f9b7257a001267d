"""The direction of imports."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    if not linter.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "half",
    [
        "evil_twins.bench.analysis.stats",
        "evil_twins.bench.analysis.tables",
        "evil_twins.bench.analysis.plots",
        "evil_twins.bench.analysis.page",
        "evil_twins.bench.commands.app",
    ],
)
def test_the_reading_half_loads_without_torch(half: str) -> None:
    code = f"import sys, {half}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
