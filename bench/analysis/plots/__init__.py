"""Figures from stored records: nothing here loads a model."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.kept import folder, kept
from evil_twins.bench.analysis.plots import (
    budgets,
    comparison,
    figure4,
    figure5,
    price,
    roc,
    serving,
    sheet,
    style,
    tradeoff,
)
from evil_twins.bench.analysis.plots.distributions import draw as histograms
from evil_twins.bench.analysis.plots.literal import write_literally
from evil_twins.bench.analysis.plots.study import Study, studies
from evil_twins.bench.analysis.plots.sweeps import along_fidelity, along_phi
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.steps import Watch, unwatched
from evil_twins.bench.analysis.tables import Analysis, Numbers
from evil_twins.bench.store import files

__all__ = ["FIGURES", "FigureKind", "compare", "draw", "figures", "names"]


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        name: Stem of its files.
        draw: Draws it, or returns None if the study does not have its data.
        heading: Its heading on the page; empty: the page does not show it.
        numbers: The file with its numbers.
        pooled: Whether it shows several victims together; else it shows the first.
    """

    name: str
    draw: Callable[[Study], Figure | None]
    heading: str = ""
    numbers: str = ""
    pooled: bool = False

    def shows(self, study: Study) -> bool:
        """Check whether it is drawn for a study of a suite."""
        return study.population == 1 or self.pooled == (study.victims > 1)


ALONG_PHI = FigureKind("detection-phi", along_phi, "Rate along the budget φ", "detection.csv", True)
FIGURES = (
    ALONG_PHI,
    FigureKind("detection-fidelity", along_fidelity, "Rate against fidelity loss", "detection.csv"),
    FigureKind("tradeoff", tradeoff.draw, "Trade-off of fidelity and specificity", "tradeoff.csv"),
    FigureKind("budgets", budgets.draw, "Confidence within fixed budgets", "budgets.csv"),
    FigureKind("load", serving.draw, "One model for several targets", "load.csv"),
    FigureKind("price", price.draw, "The price of evasion", "price.csv"),
    FigureKind("figure-4", figure4.draw, "Figure 4 of the paper, redrawn", "tradeoff.csv"),
    FigureKind("figure-5", figure5.draw, "Figure 5 of the paper, redrawn", "outcomes.csv"),
    FigureKind("roc", roc.draw, "Receiver operating curves", "scores.parquet"),
    FigureKind("distributions", histograms, "Score distributions and KS", "scores.parquet"),
    FigureKind("images", sheet.draw),  # the page has a gallery in its place
)


FORMATS: dict[str, Callable[[Figure], bytes]] = {"svg": style.svg, "png": style.png}
"""Formats of a figure: ending of its file -> its content."""


def names(analysis: Analysis) -> list[str]:
    """Return the stem of each figure that the suite may have."""
    return [
        f"{k.name}{study.suffix}" for study in studies(analysis) for k in FIGURES if k.shows(study)
    ]


def figures(
    analysis: Analysis, name: str | None = None, watch: Watch = unwatched
) -> Iterator[tuple[Study, FigureKind, Figure]]:
    """Yield every figure that has data, or that of one stem, with its study and kind."""
    wanted = [
        (study, kind)
        for study in studies(analysis)
        for kind in FIGURES
        if name in (None, kind.name + study.suffix) and kind.shows(study)
    ]
    with style.look(), threadpool_limits(1), watch("figures", len(wanted)) as done:
        for study, kind in wanted:
            if (drawn := kind.draw(study)) is not None:
                yield study, kind, write_literally(drawn)
            done()


def draw(
    results_dir: Path,
    analysis: Analysis | None = None,
    fpr: float = FPR,
    formats: Iterable[str] = FORMATS,
    watch: Watch = unwatched,
) -> list[Path]:
    """Draw every figure of a suite in each format, unless the stored files are current.

    They lie under `figures/`, at another false-positive rate than the default under
    `fpr-<rate>/figures/`. A figure is skipped if the suite does not have its data (no sweep, no
    stored images). Each data set and victim has a set of figures; of several victims of one recipe
    they show rates over all, and everything else of the first.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        analysis: The numbers of the suite at `fpr`, if the caller has them.
        fpr: The nominal false-positive rate.
        formats: Some of `FORMATS`.
        watch: Follows the figures.

    Returns:
        The files, in the order of the formats and of the figures.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    place = f"{folder(fpr)}figures"

    @cache
    def drawings() -> dict[str, Figure]:
        drawn = figures(analysis or Analysis(results_dir, fpr), watch=watch)
        return {f"{place}/{kind.name}{study.suffix}": figure for study, kind, figure in drawn}

    def make(form: str) -> dict[str, bytes]:
        content, figures = dict[str, bytes](), drawings()
        with style.look(), threadpool_limits(1), watch(f"figures, {form}", len(figures)) as done:
            for name, each in figures.items():
                content[f"{name}.{form}"] = FORMATS[form](each)
                done()
        return content

    return [
        path
        for form in formats
        for path in kept(results_dir, f"{place} {form}", partial(make, form))
    ]


def compare(directory: Path, numbers: Numbers) -> None:
    """Draw the figures of new detectors and others: rates along φ, differences, ranks.

    The files lie where `draw` puts those of the same rate, in the folder of the comparison.

    Args:
        directory: The folder of the comparison.
        numbers: The numbers of its tables.
    """
    study = next(studies(numbers.analysis))
    with style.look(), threadpool_limits(1):
        for name, sketch in comparison.FIGURES.items():
            if (drawn := sketch(numbers, study)) is not None:
                for form, encode in FORMATS.items():
                    path = f"{folder(study.fpr)}figures/{name}.{form}"
                    files.write(directory / path, directory, encode(drawn))
