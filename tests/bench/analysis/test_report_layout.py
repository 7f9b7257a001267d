"""The page in a real browser: without a script, on a phone, on paper, in the dark."""

from pathlib import Path
from typing import Any

import pytest

from evil_twins.bench.analysis import plots
from tests.bench import browsing, reported


def _opened(context: Any, path: Path) -> Any:
    """Return the page with all that is folded laid open."""
    context.set_default_timeout(browsing.TIMEOUT)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return page


def test_without_script_everything_stands_there(browser: Any, either: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(either.as_uri())
    assert page.locator("#matrix table").first.locator("tbody tr").count() == 6
    assert page.locator("#matrix td b").first.is_visible()
    assert page.locator("#figures img, #differences td b").first.is_visible()
    assert not page.locator("#choose").is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_hinders_anyone(browser: Any, either: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)  # axe is a script as well
    page = _opened(context, either)
    results = axe.Axe().run(page).response["violations"]
    context.close()
    assert [
        problem["id"] for problem in results if problem["impact"] in ("serious", "critical")
    ] == []


def test_a_phone_scrolls_in_one_direction(browser: Any, either: Path) -> None:
    context = browser.new_context(viewport={"width": 380, "height": 800})
    page = _opened(context, either)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    context.close()


def test_a_phone_breaks_names_that_are_long(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "FIGURES", ())
    opened = reported.frames(6)
    for name in ("scores", "details"):
        opened[name]["detector"] = opened[name]["detector"] + "x" * 90
    reported.page(tmp_path, opened)
    context = browser.new_context(viewport={"width": 380, "height": 800})
    page = _opened(context, tmp_path / "index.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    context.close()


def test_paper_holds_everything_but_what_is_pressed(browser: Any, either: Path) -> None:
    context = browser.new_context(viewport={"width": 718, "height": 1000}, color_scheme="dark")
    page = _opened(context, either)  # as wide as A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert not page.locator("form:visible, nav:visible").count()
    assert page.locator("#matrix td b").first.is_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    for table in page.locator("#claims details table, #tables details table").all():
        assert table.is_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shades_rise_in_grey_as_well(browser: Any, path: Path, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = _opened(context, path)
    grounds = page.evaluate(
        "[...Array(11).keys()].map((k) => { const one = document.createElement('i');"
        "one.className = `h${k}`; document.body.append(one);"
        "return getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number); })"
    )
    context.close()
    grey = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in grounds]
    assert grey == sorted(grey, reverse=scheme == "light")
    assert len(set(grey)) == 11


def test_figures_are_dark_on_a_dark_page_and_not_on_paper(browser: Any, path: Path) -> None:
    with browsing.opened(browser, path, color_scheme="dark") as page:
        ground = "getComputedStyle(document.querySelector('.paper')).backgroundColor"
        filters = "getComputedStyle(document.querySelector('.paper img')).filter"
        assert page.evaluate(ground) == "rgb(17, 22, 28)"
        assert "invert(1)" in page.evaluate(filters)
        page.emulate_media(media="print")
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        assert page.evaluate(filters) == "none"
