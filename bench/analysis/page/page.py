"""The page of one suite: what stands in it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from evil_twins.bench.analysis import plots
from evil_twins.bench.analysis.claims import report as claims
from evil_twins.bench.analysis.page import facts, matrix, prose
from evil_twins.bench.analysis.page.gallery import gallery, uri
from evil_twins.bench.analysis.page.ranks import ranks
from evil_twins.bench.analysis.page.render import render
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables import TABLES, Analysis, Records, files, read, text
from evil_twins.bench.analysis.tables.paired import WORST

NAME = "index.html"
HEADINGS = {
    "detection-phi": ("Rate along the fidelity budget φ", "detection.csv"),
    "detection-fidelity": ("Rate against fidelity loss", "detection.csv"),
    "tradeoff": ("Trade-off of fidelity and specificity", "tradeoff.csv"),
    "budgets": ("Confidence within fixed budgets", "budgets.csv"),
    "load": ("One model for several targets", "load.csv"),
    "price": ("The price of evasion", "price.csv"),
    "figure-4": ("Figure 4 of the paper, redrawn", "tradeoff.csv"),
    "figure-5": ("Figure 5 of the paper, redrawn", "outcomes.csv"),
    "roc": ("Receiver operating curves", "scores.parquet"),
    "distributions": ("Score distributions and KS", "scores.parquet"),
}
"""The figures that are shown, and where their numbers are; the image sheet gives way to the
gallery."""

SCALE = 1.6
"""Pixels for a point of a figure: its letters are then nearly as large as those of the tables."""


@dataclass(frozen=True)
class Drawing:
    """A figure as a data URI.

    Attributes:
        name: Its name.
        heading: What stands above it.
        words: What it is, for those who cannot see it.
        image: The URI.
        width: In pixels of the page, so that all figures write in letters of one size.
    """

    name: str
    heading: str
    words: str
    image: str
    width: int


def write(results_dir: Path, suite: str) -> Path:
    """Writes `index.html`, one file that needs no other, beside the records of a suite.

    The same records, versions and machine give the same bytes.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        suite: Its name.

    Returns:
        The file.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    path = results_dir / NAME
    path.write_bytes(index(read(results_dir), results_dir, suite))
    return path


def index(records: Records, directory: Path, suite: str) -> bytes:
    """The page of records.

    Args:
        records: The records.
        directory: `<results>/<suite>`, whose run.json says how they were made.
        suite: Its name.
    """
    return render("page.html", content(records, directory, suite)).encode()


def content(records: Records, directory: Path, suite: str) -> dict[str, Any]:
    """Everything that the page says."""
    analysis = Analysis(records)
    scored = analysis.records
    known = {place: ranks(cell) for place, cell in analysis.cells.items()}
    detectors = style.detector_order([name for _, name in known])
    judged = claims.judged(records, suite, directory.parent)
    tabled, verdicts = files(analysis), claims.files(records, judged, suite)
    squares = matrix.matrices(records, known, detectors)
    worst = matrix.worst(analysis.table(WORST), detectors)
    lines = [line for one in squares for line in one.lines] + worst
    sizes = {square.n for line in lines for square in line.squares if square}
    downloads = {name: one for name, one in (tabled | verdicts).items() if name.endswith(".csv")}
    return {
        "title": suite,
        "rate": ALPHA,
        "facts": facts.facts(scored, known, detectors, directory),
        "failed": text.failed(len(records.failures)),
        "failures": facts.failures(records),
        "detectors": detectors,
        "matrices": squares,
        "worst": worst,
        "shares": matrix.shares(sizes),
        "drawings": _drawings(records),
        "claims": [(claims.title(one), _verdicts(one)) for one in judged],
        "reasons": prose.html(verdicts["claims.md"].decode(), 3)[1],
        "texts": _texts(analysis, tabled),
        "targets": gallery(records, known, detectors),
        "downloads": [
            (name, len(one), uri("text/csv", one)) for name, one in sorted(downloads.items())
        ],
    }


def _verdicts(one: claims.Judged) -> list[tuple[str, str, str, str]]:
    """Letter, claim, verdict and reason."""
    rules = one.of.rules.claims
    return [(v.letter, rules[v.letter].title, v.outcome, v.reason) for v in one.verdicts]


def _texts(analysis: Analysis, tabled: dict[str, bytes]) -> dict[str, tuple[str, Markup]]:
    """The readable tables but for the matrix, which the page has in a form of its own."""
    shown = [
        table.name
        for table in TABLES
        if table.markdown and table.name != "detection" and len(analysis.table(table))
    ]
    return {name: prose.html(tabled[f"{name}.md"].decode(), 3) for name in shown}


def _drawings(records: Records) -> list[Drawing]:
    made = []
    for study, name, figure in plots.figures(records):
        if name in HEADINGS:
            heading, numbers = HEADINGS[name]
            words = f"{heading}: {study.title}. The numbers are in {numbers}."
            drawn = style.svg(figure)
            image = uri("image/svg+xml", drawn)
            made.append(Drawing(name + study.suffix, heading, words, image, _width(drawn)))
    return made


def _width(drawn: bytes) -> int:
    points = ElementTree.fromstring(drawn).attrib["width"].removesuffix("pt")
    return round(SCALE * float(points))
