"""Open a page in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIMEOUT = 120_000
"""Milliseconds until a page that does not answer fails a test, on a busy machine too."""


@contextmanager
def opened(browser: Any, path: Path, query: str = "", **options: Any) -> Iterator[Any]:
    """Yield the page at a width of 1280 pixels; in the end it has printed and requested nothing."""
    options = {"viewport": {"width": 1280, "height": 900}, "offline": True} | options
    context = browser.new_context(**options)
    context.set_default_timeout(TIMEOUT)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda request: said.append(request.url) if not _is_local(request.url, path) else None,
    )
    page.goto(path.as_uri() + query)
    yield page
    context.close()
    assert said == []


def _is_local(url: str, path: Path) -> bool:
    return url.startswith("data:") or url.split("#")[0].split("?")[0] == path.as_uri()
