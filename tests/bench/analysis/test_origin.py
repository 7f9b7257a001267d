"""Every table says on what its numbers were computed, where the records hold it."""

import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis
from tests.bench import synthetic


@pytest.mark.parametrize(
    ("computed", "words"),
    [
        (["float64"] * 2, "Computed in float64: other processors give the same numbers"),
        (
            ["float32 on B <i>", "float32 on A"],
            "Computed in float32 on A, float32 on B <i>: another machine gives other numbers",
        ),
        (["float64", "float64 on a GPU"], "Computed in float64, float64 on a GPU: another machine"),
        ([""] * 2, ""),
    ],
)
def test_tables_say_on_what_they_were_computed(computed: list[str], words: str) -> None:
    frames = synthetic.frames(n=4, kappas=(0.75,))
    victims = [frames["victims"].assign(seed=n, computed=each) for n, each in enumerate(computed)]
    frames["victims"] = pd.concat(victims)
    content = tables.files(Analysis(tables.number(frames)))
    for name, data in content.items():
        said = [line for line in data.decode().splitlines() if line.startswith("Computed in")]
        assert len(said) == (bool(words) and name.endswith(".md")), name
        assert all(line.startswith(words) for line in said)
