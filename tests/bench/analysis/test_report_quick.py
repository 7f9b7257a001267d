"""The page of the committed reference."""

from pathlib import Path

import pytest

from evil_twins.bench.analysis import page, tables
from tests.bench import reported

QUICK = Path(__file__).parents[3] / "results" / "reference" / "quick"


@pytest.mark.slow
def test_the_page_of_quick_is_small_and_whole() -> None:
    html = page.index(tables.read(QUICK), QUICK, "quick")
    assert len(html) < 5_000_000
    found = reported.outline(html.decode())
    reported.asks_for_nothing(found)
    headings = found.text("h3")
    for wanted in ("Rate against fidelity loss", "Trade-off of fidelity and specificity"):
        assert wanted in headings
    assert {"Receiver operating curves", "Score distributions and KS"} <= set(headings)
    downloads = {one["download"] for one in found.find("a") if "download" in one}
    assert downloads == {"claims.csv", *(path.name for path in QUICK.glob("tables/*.csv"))}
