"""Pages for the tests in a browser, and the browser."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.page import comparison
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.store.levels import BENIGN
from tests.bench import populations, reported, synthetic


@pytest.fixture
def make_only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets `write` make only some tables: all of them take seconds."""
    writer = sys.modules["evil_twins.bench.analysis.tables.write"]
    return lambda *chosen: monkeypatch.setattr(writer, "TABLES", chosen)


@pytest.fixture
def draw_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that lets `draw` draw one kind of figure."""

    def choose(name: str) -> None:
        monkeypatch.setattr(plots, "FIGURES", [f for f in plots.FIGURES if f.name == name])

    return choose


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a small suite, with two figures, a cell without scores, and its tables."""
    directory = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        kinds = [kind for kind in plots.FIGURES if kind.name in ("detection-phi", "roc")]
        patch.setattr(plots, "FIGURES", kinds)
        opened = reported.frames(n=30)
        scores = opened["scores"]
        lost = scores["method"].eq("pgd") & scores["detector"].eq("curvature")
        reported.page(directory, opened | {"scores": scores[~lost]})
    tables.write(directory)
    return directory / "index.html"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of two suites with a difference that is sure."""
    folder = tmp_path_factory.mktemp("several")
    opened, loud = reported.frames(n=30), reported.frames(n=20)
    attacked = loud["scores"]["role"].eq("attacked") & loud["scores"]["detector"].eq("confidence")
    loud["scores"].loc[attacked, "score"] = 99.0
    suites = {"a": opened, "b": loud}
    return comparison.write(
        [synthetic.write(folder / name, frames) for name, frames in suites.items()]
    )


@pytest.fixture(scope="module")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of a suite of several victims and its tables, without figures."""
    directory = tmp_path_factory.mktemp("victims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "FIGURES", ())
        names = (*reported.DETECTORS, "curvature-adjusted")
        reported.page(directory, populations.detectors(populations.frames(), *names))
    tables.write(directory)
    return directory / "index.html"


@pytest.fixture(params=["one", "several"])
def either(request: pytest.FixtureRequest, path: Path, several: Path) -> Path:
    """Return the page of one suite, and that of two."""
    return path if request.param == "one" else several


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium; without it or playwright the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small suite at two κ, of which one is "benign"."""
    frames = reported.frames(n=14, kappas=(0.75, 0.9))
    frames = {name: frame.replace({"kappa": {0.9: BENIGN}}) for name, frame in frames.items()}
    frames["gallery"] = frames["gallery"][frames["gallery"]["target_id"] < "digits/0002"]
    return synthetic.write(tmp_path_factory.mktemp("papers") / "small", frames)


@pytest.fixture(scope="session")
def numbers(papers: Path) -> Analysis:
    """Return the numbers of that suite."""
    return Analysis(papers)


@pytest.fixture
def shared(papers: Path, numbers: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands and results share the numbers of the folder, which take seconds."""

    def opened(source: Path | tables.Records, fpr: float = 0.05) -> Analysis:
        return numbers if (source, fpr) == (papers, 0.05) else Analysis(source, fpr)

    monkeypatch.setattr(tables, "Analysis", opened)
