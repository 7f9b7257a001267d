"""The page in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.population import POPULATION
from tests.bench import browsing


@pytest.fixture
def page(browser: Any, path: Path) -> Iterator[Any]:
    """Return the opened page; in the end it has printed and requested nothing."""
    with browsing.opened(browser, path) as page:
        yield page


def _detected(path: Path, rate: float) -> dict[tuple[str, float, float, str], int]:
    base = pd.read_csv(path.parent / "tables" / "detection.csv")
    base = base.fillna({"kappa": -1.0, "phi": -1.0})
    base = base[base["fpr_nominal"].eq(rate)].dropna(subset="detected")  # `any` has no rate
    keys = base[["attack", "kappa", "phi", "detector"]].itertuples(index=False, name=None)
    return dict(zip(keys, base["detected"], strict=True))


def _shown(page: Any) -> list[list[str]]:
    """Attack and counts of every visible row, in the order of the page."""
    return page.evaluate(
        "[...document.querySelectorAll('#matrix tbody tr')].filter((row) => !row.hidden)"
        ".map((row) => [row.cells[0].textContent, ...[...row.cells].slice(2)"
        ".filter((cell) => !cell.hidden).map((cell) => cell.dataset.k)])"
    )


def _count(row: list[str]) -> int:
    """Sort by the first detector; a place without scores is below every count."""
    return -1 if row[1] is None else int(row[1])


@pytest.mark.parametrize("percent", ["1", "5", "10"])
def test_the_slider_gives_the_numbers_of_the_csv(page: Any, path: Path, percent: str) -> None:
    page.fill("#rate", percent)
    heads = [
        head.get_attribute("data-detector") for head in page.locator("#matrix .detector").all()
    ]
    wanted = _detected(path, float(percent) / 100)
    for place, name in enumerate(heads):
        lines = [int(row[place + 1]) for row in _shown(page) if row[place + 1] is not None]
        assert sorted(lines) == sorted(k for key, k in wanted.items() if key[3] == name)
    assert page.text_content("#shown") == f"{percent}\N{NO-BREAK SPACE}%"


def test_sorting_orders_the_rows_and_comes_back(page: Any) -> None:
    before = _shown(page)
    head = page.locator("#matrix thead th").nth(2)
    head.locator("button").press("Enter")  # only by keyboard
    falling = [_count(row) for row in _shown(page)]
    assert falling == sorted(falling, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").click()
    assert [_count(row) for row in _shown(page)] == sorted(falling)
    page.locator("#matrix thead th button").first.click()
    assert _shown(page) == before


def test_filters_leave_what_was_asked_for(page: Any) -> None:
    rows = len(_shown(page))
    page.select_option("#family", "imc")
    assert {row[0].split()[0] for row in _shown(page)} == {"imc"}
    page.select_option("#kappa", ".75")
    assert 0 < len(_shown(page)) < rows
    page.uncheck("#choose [value='curvature']")
    assert {len(row) for row in _shown(page)} == {3}


def test_the_gallery_opens_and_is_searched(page: Any) -> None:
    target = page.locator("#gallery .target").first
    target.locator("summary").click()
    picture = target.locator("tbody img").first
    assert picture.is_visible()
    assert picture.evaluate("(image) => image.complete && image.naturalWidth > 0")
    page.fill("#words", "digits/0001 pgd")
    assert page.text_content("#found") == "1 found"
    assert not target.is_visible()


def test_figures_are_drawn(page: Any) -> None:
    assert page.eval_on_selector("#figures img", "(image) => image.naturalWidth > 100")


def test_several_suites_follow_one_slider(browser: Any, several: Path) -> None:
    context = browser.new_context(offline=True)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(several.as_uri())
    rates = "[...document.querySelectorAll('#matrix table')].map((table) => [...table"
    rates += ".querySelectorAll('[data-k]')].reduce((sum, one) => sum + Number(one.dataset.k), 0))"
    before = page.evaluate(rates)
    page.fill("#rate", "20")
    after = page.evaluate(rates)
    assert len(before) == len(after) == 2
    assert all(more > fewer for more, fewer in zip(after, before, strict=True))
    assert page.locator(".significant").count() == page.locator("text='significant'").count() > 0
    context.close()
    assert said == []


def test_a_decision_in_the_gallery_follows_the_slider(page: Any) -> None:
    flags = "document.querySelectorAll('#gallery .flagged').length"
    counts = []
    for percent in ("1", "5", "40", "5"):
        page.fill("#rate", percent)
        counts.append(page.evaluate(flags))
    assert counts[0] < counts[1] == counts[3] < counts[2]


def test_the_first_key_leads_to_the_rates(page: Any) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#matrix")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "word"
    page.focus("#slide")
    page.keyboard.press("ArrowRight")
    assert page.text_content("#shown") == "5.5\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize("percent", ["1", "5", "10"])
def test_the_slider_moves_the_rates_over_victims(browser: Any, victims: Path, percent: str) -> None:
    opened = browser.new_page()
    opened.goto(victims.as_uri())
    opened.locator("#matrix .fold").first.click()
    opened.fill("#rate", percent)
    shown = opened.locator("#matrix table >> nth=0").locator("td[data-steps]")
    table = Analysis(victims.parent).table(POPULATION)
    table = table[table["fpr_nominal"].eq(float(percent) / 100)].dropna(subset="rate")
    cells = [cell.split("\n") for cell in shown.all_inner_texts()]
    wanted = [
        [
            text.number(100 * line.rate),
            f"{100 * line.low:.0f}–{100 * line.high:.0f}"
            if (line.calibration_n + 1) * float(percent) >= 100
            else "no threshold",
            f"next {100 * line.next_low:.0f}–{100 * line.next_high:.0f}",
            f"AUROC {text.number(line.auroc, 2)}",
        ]
        for line in table.itertuples()
    ]
    assert sorted(cells) == sorted(wanted)
    opened.close()
