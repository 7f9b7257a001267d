"""The largest number of rows and columns."""

from pathlib import Path

import pytest

from evil_twins.bench.errors import UserError
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.rows import MOST_PAIRS, MOST_ROWS
from tests.bench import suites
from tests.bench.suites import doubt, table

LIST = [0.75] * 200


@pytest.mark.parametrize(
    ("swept", "detectors"),
    [
        ({"kappa": LIST, "phi": LIST}, 1),
        ({"kappa": [0.75] * (MOST_ROWS + 1)}, 0),
        ({"kappa": LIST}, MOST_PAIRS // len(LIST) + 1),
    ],
)
def test_a_small_file_cannot_ask_for_an_endless_plan(
    tmp_path: Path, swept: dict[str, list[float]], detectors: int
) -> None:
    attack = table("attacks", method="imc", input={}, model={}, **swept)
    path = suites.write(tmp_path, attack, *(doubt(f"doubt{i}") for i in range(detectors)))
    if not detectors:
        path = suites.write(tmp_path, attack, head="detectors = []\n" + suites.HEAD)
    with pytest.raises(UserError, match="are too many"):
        suite.load(path)
