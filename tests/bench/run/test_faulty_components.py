"""A component at fault stops its cell, with a reason and a log, and no other."""

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.bench.runs import carry_out
from tests.bench.suites import doubt, shift

OF_ATTACKS = {
    "exit": "SystemExit: 3",
    "range": r"attack 'range' returned pixels in \[1.*expected \[0, 1\]",
    "nan": "attack 'nan' returned NaN or infinite pixels in 1 of 4",
    "shape": "attack 'shape' returned x. of 4×1×7×8; expected 4×1×8×8",
    "type": "attack 'type' returned Tensor; expected Attacked",
    "models": "attack 'models' returned 5 models for 4 targets",
    "secret": "attack 'secret' changed the model; its nature says that it moves none",
    "doubtful": r"attack 'doubtful', confidence, returned NaN or infinity for 4 of 4 targets",
    "raise": "RuntimeError: the attack; fell over",
    "odd": "Odd: its message cannot be shown: it raises RuntimeError",
    "long": "(long ){200}$",
}
OF_DETECTORS = {
    "nan": "detector 'nan' returned NaN or infinity for 1 of",
    "length": "detector 'length' returned (3|159) numbers for (4|160) images",
    "list": "detector 'list' returned list; expected a tensor",
    "raise": "RuntimeError: the detector; fell over",
}
"""Fault of an attack or a detector -> the reason that is shown."""

CELLS = {
    **{("attack", name): why for name, why in OF_ATTACKS.items()},
    **{("benign", name): why for name, why in OF_DETECTORS.items()},
    **{("score", f"{name} × shift"): why for name, why in OF_DETECTORS.items()},
}
"""Kind and title of a cell -> the reason."""

FAULTY = (
    *(shift(fault, fault=fault) for fault in OF_ATTACKS),
    *(doubt(fault, fault=fault) for fault in OF_DETECTORS),
)


@pytest.fixture(scope="module")
def failures(folder: Path) -> pd.DataFrame:
    """The failures of a suite with all faults, and with a sound attack and detector."""
    done = carry_out(folder, shift(), doubt(), *FAULTY)
    frame = pd.read_parquet(folder / "small" / "failures.parquet").set_index(["kind", "cell"])
    assert all("\n" not in reason for reason in done.state.failed.values())
    again = carry_out(folder, shift(), doubt(), *FAULTY)
    assert len(again.state.ran) == len(CELLS)
    assert again.state.failed.keys() == done.state.failed.keys()
    return frame


@pytest.mark.parametrize(("cell", "message"), CELLS.items(), ids=map(" ".join, CELLS))
def test_a_fault_stops_one_cell(
    folder: Path, failures: pd.DataFrame, cell: tuple[str, str], message: str
) -> None:
    assert re.match(message, failures.loc[cell, "reason"])
    log = folder / "small" / failures.loc[cell, "log"]
    assert "Traceback" in log.read_text()
    assert log.stat().st_size < 2**20


def test_what_no_fault_concerns_stays(folder: Path, failures: pd.DataFrame) -> None:
    assert (~failures["reason"].str.startswith("not run")).sum() == len(CELLS)
    kept = pd.read_parquet(folder / "small" / "scores.parquet")
    assert len(kept) == (kept["attack"].eq("shift") & kept["detector"].eq("doubt")).sum() == 164
