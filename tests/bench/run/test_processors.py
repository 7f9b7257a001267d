"""The same suite on other instruction sets: equal decisions, and numbers equal to rounding."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evil_twins.bench.analysis.tables.write import write as write_tables
from evil_twins.bench.cells.execute import Place
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.run.assemble import Finished, assemble
from evil_twins.bench.run.plan import Plan, plan
from evil_twins.bench.run.schedule import run
from evil_twins.bench.run.selection import WHOLE as WHOLE_SUITE
from evil_twins.bench.run.selection import Choice, of_victim
from evil_twins.bench.store import records
from evil_twins.bench.store.cells import Store
from evil_twins.bench.suite import suite
from tests.bench.runs import inline

Records = dict[str, pd.DataFrame]
QUICK = Path(__file__).parents[3] / "results" / "reference" / "quick"
ROUNDING = 1e-8
"""Largest difference of two numbers, as a share of the spread of their column; 1e-11 is usual."""

SMALL = """
extends = "quick"
name = "small"
drop = [
    "untouched", "noise-linf", "pgd-l2", "fine-tuning-head", "imc-head", "poisoning-all",
    "curvature-adjusted", "energy",
]
attacks = [{ name = "pgd-linf", kappa = "benign" }, { name = "poisoning-head", rounds = 20 }]
[victim]
count = 1
recipe = { epochs = 5 }
[targets]
count = 2
"""
WHOLE = """
extends = "quick"
name = "small"
[victim]
count = 1
"""
PROGRAM = "import sys; from pathlib import Path; from tests.bench.run import test_processors as t; "
PROGRAM += "t.carry_out(sys.argv[1], Path(sys.argv[2]))"


def carry_out(text: str, folder: Path) -> Path:
    """Run a suite in this process, and write its records and tables; return their folder."""
    (folder / "small.toml").write_text(text)
    small, data = suite.load(str(folder / "small.toml")), cached_dataset("digits", None, None)
    return finished(small, plan(small, data, "cpu"), folder, WHOLE_SUITE)


def finished(small: suite.Suite, cells: Plan, folder: Path, choice: Choice) -> Path:
    """Run the cells of a suite; return the folder of its records."""
    store, data = Store(folder / "small" / "cells"), cached_dataset("digits", None, None)
    state = run(choice(cells), Place(store, None, {}), inline())
    assert not state.failed
    assemble(Finished(small, data, cells, state, store), folder / "small")
    return folder / "small"


def elsewhere(text: str, folder: Path) -> Path:
    """Run a suite in a process that has the instructions of the oldest supported processor."""
    older = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    command = [sys.executable, "-c", PROGRAM, text, str(folder)]
    subprocess.run(command, env=os.environ | older, check=True, cwd=Path(__file__).parents[3])
    return folder / "small"


def differences(first: Records, second: Records) -> dict[str, float]:
    """Return the largest difference of each real column, as a share of its spread.

    Everything else must be equal, but for hashes of numbers.
    """
    largest = {}
    for name, base in first.items():
        other = second[name]
        assert len(base) == len(other), name
        for column in base:
            if base[column].dtype != np.float64:
                assert column == "content" or base[column].equals(other[column]), column
                continue
            groups = base["detector"] if "detector" in base else pd.Series("", base.index)
            spread = base[column].groupby(groups).transform("std").fillna(0.0)
            gaps = (base[column] - other[column]).abs() / spread.where(spread > 0, 1.0)
            assert base[column].isna().equals(other[column].isna()), f"{name}: {column}"
            largest[f"{name}: {column}"] = float(gaps.fillna(0.0).max())
    return {name: gap for name, gap in largest.items() if gap > ROUNDING}


def read(folder: Path) -> Records:
    names = ("targets", "scores", "details", "flips", "victims")
    return {name: records.read(folder / f"{name}.parquet", records.FILES[name]) for name in names}


def assert_same(first: Path, second: Path) -> None:
    assert not differences(read(first), read(second))
    for folder in (first, second):
        write_tables(folder)
    base, other = (pd.read_csv(folder / "tables" / "detection.csv") for folder in (first, second))
    pd.testing.assert_frame_equal(base, other, rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carry_out(SMALL, tmp_path_factory.mktemp("native"))


def test_an_older_instruction_set_gives_the_same_decisions(native: Path, tmp_path: Path) -> None:
    assert_same(native, elsewhere(SMALL, tmp_path))


def test_another_library_of_convolutions_gives_the_same_decisions(
    native: Path, tmp_path: Path
) -> None:
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        assert_same(native, carry_out(SMALL, tmp_path))
    finally:
        torch.backends.mkldnn.enabled = True  # type: ignore[assignment]


def recomputed(folder: Path, only: tuple[str, ...]) -> tuple[Records, Records]:
    """Compute attacks on the first victim of `quick`; return their records and the stored ones."""
    quick, data = suite.load("quick"), cached_dataset("digits", None, None)
    cells = of_victim(plan(quick, data, "cpu"), 0)
    computed = read(finished(quick, cells, folder, Choice(only)))
    stored = read(QUICK)
    rows = computed["targets"][["attack", "kappa", "phi"]].drop_duplicates()
    for name, frame in stored.items():
        frame = frame[frame["seed"].eq(0)]
        if name != "victims":
            frame = frame.merge(rows, on=["attack", "kappa", "phi"])
        stored[name] = frame.reset_index(drop=True)
    return computed, stored


def test_the_first_command_gives_the_committed_numbers(tmp_path: Path) -> None:
    assert not differences(*recomputed(tmp_path, ("pgd-linf", "poisoning-head")))


@pytest.mark.slow
def test_the_first_command_gives_all_numbers_of_a_victim(tmp_path: Path) -> None:
    assert not differences(*recomputed(tmp_path, ()))


@pytest.mark.slow
def test_a_victim_of_quick_is_the_same_on_an_older_instruction_set(tmp_path: Path) -> None:
    for name in ("native", "older"):
        (tmp_path / name).mkdir()
    first = carry_out(WHOLE, tmp_path / "native")
    assert_same(first, elsewhere(WHOLE, tmp_path / "older"))


@pytest.mark.slow
def test_in_float32_another_instruction_set_gives_another_victim(tmp_path: Path) -> None:
    for name in ("native", "older"):
        (tmp_path / name).mkdir()
    single = 'precision = "float32"\n' + SMALL
    first, second = carry_out(single, tmp_path / "native"), elsewhere(single, tmp_path / "older")
    base, other = (pd.read_parquet(folder / "targets.parquet") for folder in (first, second))
    assert not np.allclose(base["log_odds"], other["log_odds"], rtol=1e-3)
