"""The words that a component prints fail no cell, wherever they go."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINTS = """
import os, sys
from evil_twins.bench.run import guard
from evil_twins.bench.run.streams import reserve

reserve()
with guard.lane() as lane:
    numbers = set()
    for words in ("few κ", "many " * 100_000, "last"):
        for stream in ("stdout", "stderr"):
            code = f"print({words!r}, file=__import__('sys').{stream})"
            lane.submit(guard.isolated, exec, (code,), None).result()
        numbers.add(lane.submit(guard.isolated, os.getpid, (), None).result())
with open(sys.argv[1], "w") as file:
    file.write(str(len(numbers)))
"""


SLOW = [
    pytest.param(ending, marks=pytest.mark.slow)
    for ending in ("", ">&- 2>/dev/full", ">&- 2>&- <&-", "| true")
]


@pytest.mark.parametrize("ending", [">/dev/full 2>&-", *SLOW])
def test_what_is_printed_ends_no_worker(ending: str, tmp_path: Path) -> None:
    path, out = tmp_path / "prints.py", tmp_path / "numbers"
    path.write_text(PRINTS, encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    line = f'"{sys.executable}" "{path}" "{out}" {ending}'
    subprocess.run(line, shell=True, env=environment, capture_output=True, timeout=100, check=False)
    assert out.read_text() == "1"
