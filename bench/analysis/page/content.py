"""The content of the page of one suite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from markupsafe import Markup

from evil_twins.bench.analysis import plots
from evil_twins.bench.analysis.claims import report as claims
from evil_twins.bench.analysis.page import facts, matrix, prose
from evil_twins.bench.analysis.page.archive import archive
from evil_twins.bench.analysis.page.columns import columns
from evil_twins.bench.analysis.page.gallery import gallery, uri
from evil_twins.bench.analysis.page.pooled import Pooled, steps
from evil_twins.bench.analysis.page.ranks import ranks
from evil_twins.bench.analysis.page.render import render
from evil_twins.bench.analysis.page.summary import summaries
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.steps import Watch, unwatched
from evil_twins.bench.analysis.tables import TABLES, Analysis, files, leave_one_out, text
from evil_twins.bench.analysis.tables.any_of import NEEDS
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.paired import WORST
from evil_twins.bench.store import files as store

SCALE = 1.6
"""Pixels per point of a figure: its letters are then nearly as large as those of the tables."""

LARGEST = 1_000_000
"""Bytes of the largest figure on the page: most suites of the project then fit in 5 MB each."""

OF_A_RATE = {"detection.csv", "load.csv", "outcomes.csv", "price.csv"}
"""Files with the numbers of figures that show decisions at one false-positive rate."""


class Drawing(NamedTuple):
    """A figure.

    Attributes:
        heading: Its heading.
        study: The victim or the victims that it shows.
        is_of_rate: Whether it shows decisions at the false-positive rate of the page.
        words: Its description for readers who cannot see it.
        image: The figure as a data URI, or "" if it is too large for the page.
        file: Its file in the folder of the suite.
        width: Width in pixels of the page, so that all figures have letters of one size.
    """

    heading: str
    study: str
    is_of_rate: bool
    words: str
    image: str
    file: str
    width: int


def index(
    results_dir: Path,
    suite: str,
    described: Path | None = None,
    fpr: float = FPR,
    watch: Watch = unwatched,
) -> bytes:
    """Return the page of a suite. Its figures are drawn if those of the folder are not current.

    Args:
        results_dir: A folder with the records of a run.
        suite: Name of the suite.
        described: `<results>/<suite>` with the run.json of these records; None: `results_dir`.
        fpr: The nominal false-positive rate.
        watch: Follows tables and figures.
    """
    analysis = Analysis(results_dir, fpr)
    files(analysis, watch)
    drawings = _drawings(analysis, plots.draw(results_dir, analysis, fpr, ["svg"], watch))
    page = content(analysis, described or results_dir, suite)
    return render("page.html", page | {"drawings": list(drawings)}).encode()


def content(analysis: Analysis, directory: Path, suite: str) -> dict[str, Any]:
    """Return everything on the page of a suite but the figures; run.json is in `directory`."""
    by_cell, records = ranks(analysis), analysis.records
    heads = columns(name for _, name in by_cell)
    detectors = [head.name for head in heads]
    judged = claims.judged(analysis, suite, directory.parent)
    verdicts = claims.files(analysis, judged, suite)
    tables = files(analysis) | verdicts
    matrices = matrix.matrices(records, by_cell, detectors)
    worst = matrix.worst(analysis.table(WORST), detectors)
    pooled = Pooled(analysis, by_cell, detectors)
    over_victims = list(pooled.matrices())
    images = gallery(records, by_cell, detectors)
    outcomes = [
        (sweep.title, [(v.letter, sweep.claim(v), v.outcome, v.reason) for v in sweep.verdicts])
        for sweep in judged
    ]
    return {
        "title": suite,
        "summaries": list(summaries(analysis)),
        "rate": analysis.fpr,
        "needs": NEEDS,
        "facts": facts.facts(analysis, by_cell, directory),
        "failed": text.failed(len(records.failures)),
        "failures": facts.failures(records),
        "columns": heads,
        "matrices": matrices,
        "pooled": over_victims,
        "steps": steps(over_victims),
        "held": leave_one_out.summary(analysis),
        "worst": worst,
        "pooled_worst": pooled.worst(),
        "shares": matrix.shares([line for study in matrices for line in study.lines] + worst),
        "claims": outcomes,
        "reasons": prose.html(verdicts["claims.md"].decode(), 3)[1],
        "texts": _texts(analysis, tables),
        "gallery": images,
        "limits": images.limits,
        "archive": archive({name: tables[name] for name in sorted(tables) if ".csv" in name}),
    }


def _texts(analysis: Analysis, tables: dict[str, bytes]) -> dict[str, tuple[str, Markup]]:
    """Return the readable tables without the matrix, which the page has in another form."""
    names = [table.name for table in TABLES if table.markdown and len(analysis.table(table))]
    shown = [name for name in names if name != DETECTION.name]
    return {name: prose.html(tables[f"{name}.md"].decode(), 3) for name in shown}


def _drawings(analysis: Analysis, paths: list[Path]) -> Iterator[Drawing]:
    drawn = {path.name: path for path in paths}
    for study in studies(analysis):
        for kind in plots.FIGURES:
            path = drawn.get(f"{kind.name}{study.suffix}.svg")
            if path and kind.numbers:
                words = f"{kind.heading}: {study.title}. The numbers are in {kind.numbers}."
                image = store.read(path, path.parent)
                points = float(ElementTree.fromstring(image).attrib["width"].removesuffix("pt"))
                source = "" if len(image) > LARGEST else uri("image/svg+xml", image)
                file = f"{path.parent.name}/{path.name}"
                width, is_of_rate = round(SCALE * points), kind.numbers in OF_A_RATE
                yield Drawing(kind.heading, study.title, is_of_rate, words, source, file, width)
