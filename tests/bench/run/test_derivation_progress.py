"""The bar of tables and figures."""

import io
import re

import pytest
from rich.console import Console

from evil_twins.bench.run import derivation_progress
from evil_twins.bench.run.derivation_progress import watching
from evil_twins.bench.run.screen import Screen


def _shown(console: Console) -> str:
    console.file = io.StringIO()
    with watching(console)("tables", 4) as done:
        done()
        done()
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", console.file.getvalue())


def test_long_work_has_a_bar_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, width=100)
    assert "tables" not in _shown(console)  # it is over before a second has passed
    monkeypatch.setattr(derivation_progress, "PATIENCE", -1.0)
    assert re.search(r"tables .* left", _shown(console))


def test_no_bar_without_a_terminal_or_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derivation_progress, "PATIENCE", -1.0)
    assert _shown(Console(force_terminal=False)) == ""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert _shown(Screen(stderr=True)) == ""
