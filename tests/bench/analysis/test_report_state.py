"""Choices on the page in a real browser: columns, victims, words, and the address of a view."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from tests.bench import browsing
from tests.bench.populations import VICTIMS

PHONE = {"width": 380, "height": 800}
HEADS = "[...document.querySelectorAll('{} th.detector')].filter((head) => !head.hidden)"


@pytest.fixture
def page(browser: Any, victims: Path) -> Iterator[Any]:
    """Return the page of several victims."""
    with browsing.opened(browser, victims) as page:
        yield page


def _columns(page: Any, table: str = "#matrix table:first-of-type") -> list[str]:
    """Return the detectors with a visible column, each once."""
    shown = page.evaluate(HEADS.format(table) + ".map((head) => head.dataset.detector)")
    return list(dict.fromkeys(shown))


def _state(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_the_baseline_is_first_and_variants_unfold(page: Any) -> None:
    assert _columns(page) == ["confidence", "curvature", "any"]
    fold = page.locator("#matrix .fold").first
    assert (fold.text_content(), fold.get_attribute("aria-expanded")) == ("+1", "false")
    fold.click()
    assert _columns(page) == ["confidence", "curvature", "curvature-adjusted", "any"]
    assert _columns(page, "#worst") == _columns(page, "#gallery") == _columns(page)
    assert fold.get_attribute("aria-expanded") == "true"
    fold.click()
    assert _columns(page) == ["confidence", "curvature", "any"]


def test_victims_are_a_level(page: Any, victims: Path) -> None:
    names = page.locator("#victims option").all_text_contents()
    assert names[0] == "all, with intervals"
    assert len(names) == 1 + VICTIMS
    visible = page.locator("#matrix table:visible")
    assert visible.count() == 1
    assert "next" in visible.inner_text()
    page.select_option("#victims", names[3])
    assert visible.count() == 1
    assert visible.locator("caption").inner_text() == names[3] == "digits, resnet-tiny, seed 2"
    table = pd.read_csv(victims.parent / "tables" / "detection.csv")
    table = table[table["fpr_nominal"].eq(0.05) & table["seed"].eq(2)]
    table = table[table["detector"].isin(["confidence", "curvature"])]
    cells = page.locator("#matrix table:visible td.square:visible").all()
    counts = [int(cell.get_attribute("data-k")) for cell in cells]
    assert sorted(counts) == sorted(table["detected"])
    assert page.locator("#worst tbody tr:visible").count() == 1
    targets = page.locator("#gallery .target:visible summary").all_inner_texts()
    assert targets
    assert all("seed 2" in target for target in targets)


def test_the_address_gives_the_same_view_again(browser: Any, victims: Path, page: Any) -> None:
    assert _state(page) == {}
    page.fill("#rate", "20")
    page.select_option("#victims", index=2)
    page.select_option("#family", "imc")
    page.select_option("#kappa", ".75")
    page.locator("#matrix .fold:visible").first.click()
    page.uncheck("#choose [value='any']")
    target = page.locator("#gallery .target:visible").nth(1)
    target.locator("summary").click()
    page.wait_for_function("location.search.includes('target')")
    assert set(_state(page)) == {"rate", "victims", "family", "kappa", "detectors", "target"}
    text = "document.querySelector('main').innerText"
    query = f"?{urlsplit(page.url).query}"
    with browsing.opened(browser, victims, query) as again:
        assert again.evaluate(text) == page.evaluate(text)
        assert again.locator("#gallery .target[open]").count() == 1
        assert again.url == page.url


def test_an_address_of_another_suite_changes_nothing(browser: Any, victims: Path) -> None:
    query = "?rate=200&victims=x&kappa=7&family=<b>&detectors=y&target=z"
    with browsing.opened(browser, victims, query) as page:
        assert _columns(page) == ["confidence", "curvature", "any"]
        assert page.text_content("#shown") == "5\N{NO-BREAK SPACE}%"
        assert _state(page) == {}


def test_a_meaning_opens_where_its_word_is(page: Any) -> None:
    word = page.locator("#summary .word").first
    meaning = page.locator(f"#{word.get_attribute('popovertarget')}")
    assert not meaning.is_visible()
    word.press("Enter")
    assert meaning.is_visible()
    box, place = meaning.bounding_box(), word.bounding_box()
    assert 0 <= box["y"] - place["y"] - place["height"] < 20
    page.keyboard.press("Escape")
    assert not meaning.is_visible()


def test_a_figure_at_another_rate_is_hidden(browser: Any, path: Path) -> None:
    with browsing.opened(browser, path) as page:
        rates, curves = page.locator("figure").all()
        page.fill("#rate", "10")
        assert not rates.locator("img").is_visible()
        assert curves.locator("img").is_visible()
        rates.locator("button", has_text="Back to 5").click()
        assert rates.locator("img").is_visible()
        assert page.input_value("#rate") == "5"


def test_a_phone_shows_a_family_of_detectors_at_a_time(browser: Any, victims: Path) -> None:
    with browsing.opened(browser, victims, viewport=PHONE) as page:
        assert _columns(page) == ["confidence"]
        assert not page.locator("#choose fieldset").is_visible()
        for family in page.locator("#group option").all_text_contents():
            page.select_option("#group", family)
            assert _columns(page) == [family]
            target = page.locator("#gallery .target").first
            target.evaluate("(target) => { target.open = true; }")
            cut = page.locator("#matrix .wider:visible, #worst .wider:visible, #gallery .wider")
            page.wait_for_timeout(100)  # the observer of sizes
            assert cut.count() == 0, family


def test_a_table_that_is_too_wide_says_that_it_scrolls(browser: Any, victims: Path) -> None:
    with browsing.opened(browser, victims, viewport=PHONE) as page:
        place = page.locator("#matrix .scroll").first
        assert "more" not in place.get_attribute("class")
        page.set_viewport_size({"width": 300, "height": 800})
        page.evaluate(
            "document.querySelectorAll('#choose [type=checkbox]')"
            ".forEach((box) => box.checked || box.click())"
        )
        page.wait_for_function("document.querySelector('#matrix .scroll.wider.more')")
        hint = "getComputedStyle(document.querySelector('#matrix .scroll'), '::before').content"
        assert "scrolls" in page.evaluate(hint)
        place.evaluate("(place) => { place.scrollLeft = 9999; }")
        page.wait_for_function("!document.querySelector('#matrix .scroll').matches('.more')")
