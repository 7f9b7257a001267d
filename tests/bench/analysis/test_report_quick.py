"""The page of the committed reference."""

import shutil
from pathlib import Path

import pytest

from evil_twins.bench.analysis.page import content
from tests.bench import reported

QUICK = Path(__file__).parents[3] / "results" / "reference" / "quick"


@pytest.mark.slow
def test_the_page_of_quick_is_small_and_whole(tmp_path: Path) -> None:
    for path in QUICK.glob("*.parquet"):
        shutil.copy(path, tmp_path)
    html = content.index(tmp_path, "quick", QUICK)
    assert len(html) < 5_000_000
    outline = reported.outline(html.decode())
    reported.asks_for_nothing(outline)
    headings = outline.text("h3")
    for heading in ("Rate against fidelity loss", "Trade-off of fidelity and specificity"):
        assert heading in headings
    assert {"Receiver operating curves", "Score distributions and KS"} <= set(headings)
    assert set(reported.csv_files(outline)) == {
        "claims.csv",
        *(path.name for path in QUICK.glob("tables/*.csv")),
    }


def test_committed_pages_are_small() -> None:
    sizes = {path.parent.name: path.stat().st_size for path in QUICK.parent.glob("*/index.html")}
    assert {name: size for name, size in sizes.items() if size > 5_000_000} == {}
