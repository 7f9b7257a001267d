"""Figures from stored records: nothing here loads a model."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis import contents
from evil_twins.bench.analysis.kept import folder, kept
from evil_twins.bench.analysis.plots import (
    budgets,
    comparison,
    figure4,
    figure5,
    price,
    rates,
    roc,
    serving,
    sheet,
    tradeoff,
)
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.distributions import draw as histograms
from evil_twins.bench.analysis.plots.encode import FORMATS
from evil_twins.bench.analysis.plots.literal import write_literally
from evil_twins.bench.analysis.plots.study import WHOLE, Study, View, studies
from evil_twins.bench.analysis.plots.style import PAGE
from evil_twins.bench.analysis.plots.sweeps import along_fidelity, along_phi
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.steps import Watch, unwatched
from evil_twins.bench.analysis.tables import Analysis, Numbers
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.store import files

__all__ = ["FIGURES", "FigureKind", "Study", "chosen", "compare", "draw", "figures", "names"]


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure.

    Attributes:
        name: Stem of its files.
        draw: Draws it, or returns None if the study does not have its data.
        numbers: The file with its numbers; empty: the page does not show it.
        pooled: Whether it shows several victims together; else it shows the first.
        selects: The parts of a selection that mean something for it.
    """

    name: str
    draw: Callable[[Study], Canvas | None]
    numbers: str = ""
    pooled: bool = False
    selects: tuple[str, ...] = ("attacks", "detectors", "kappa")

    @property
    def heading(self) -> str:
        """Its heading on the page."""
        return contents.FIGURES[self.name]

    def shows(self, study: Study) -> bool:
        """Check whether it is drawn for a study of a suite."""
        return study.population == 1 or self.pooled == (study.victims > 1)


_NO_DETECTOR = ("attacks", "kappa")
ALONG_PHI = FigureKind("detection-phi", along_phi, "detection.csv", pooled=True)
FIGURES = (
    # The page has a matrix and a gallery in place of the first and the last.
    FigureKind("detection", rates.draw, pooled=True),
    ALONG_PHI,
    FigureKind("detection-fidelity", along_fidelity, "detection.csv"),
    FigureKind("tradeoff", tradeoff.draw, "tradeoff.csv", selects=_NO_DETECTOR),
    FigureKind("budgets", budgets.draw, "budgets.csv", selects=("kappa",)),
    FigureKind("load", serving.draw, "load.csv"),
    FigureKind("price", price.draw, "price.csv", selects=_NO_DETECTOR),
    FigureKind("figure-4", figure4.draw, "tradeoff.csv", selects=_NO_DETECTOR),
    FigureKind("figure-5", figure5.draw, "outcomes.csv"),
    FigureKind("roc", roc.draw, "scores.parquet"),
    FigureKind("distributions", histograms, "scores.parquet"),
    FigureKind("images", sheet.draw, selects=_NO_DETECTOR),
)


def names(analysis: Analysis, options: Iterable[str] = ()) -> list[str]:
    """Return the stem of each figure that the suite may have and that depends on these options."""
    return [stem for stem, kind in _stems(analysis) if {*options} <= {*kind.selects}]


def _stems(analysis: Analysis) -> list[tuple[str, FigureKind]]:
    return [
        (kind.name + study.suffix, kind)
        for study in studies(analysis)
        for kind in FIGURES
        if kind.shows(study)
    ]


def chosen(analysis: Analysis, name: str, options: Iterable[str]) -> list[str]:
    """Return the stems of a figure: one, or of a kind that of each victim or recipe.

    Args:
        analysis: The numbers of the suite.
        name: A stem, or the name of a kind.
        options: The parts of a selection that are used.

    Raises:
        UserError: The suite has no such figure, or an option means nothing for it.
    """
    stems = _stems(analysis)
    fitting = [(stem, kind) for stem, kind in stems if name in (stem, kind.name)]
    if not fitting:
        raise unknown("figure", name, {name for stem, kind in stems for name in (stem, kind.name)})
    for option in options:
        if option not in fitting[0][1].selects:
            raise UserError(
                f"figure {name!r} does not depend on {option}",
                f"remedy: draw it without --{option}",
            )
    return [stem for stem, _ in fitting]


def figures(
    analysis: Analysis,
    name: str | None = None,
    view: View = WHOLE,
    watch: Watch = unwatched,
) -> Iterator[tuple[Study, FigureKind, Canvas]]:
    """Yield every figure that has data, or that of one stem, with its study and kind."""
    wanted = [
        (study, kind)
        for study in studies(analysis, view)
        for kind in FIGURES
        if name in (None, kind.name + study.suffix) and kind.shows(study)
    ]
    with view.design.settings(), threadpool_limits(1), watch("figures", len(wanted)) as done:
        for study, kind in wanted:
            if (drawn := kind.draw(study)) is not None:
                write_literally(drawn)
                drawn.equalise_letters()
                yield study, kind, drawn
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
    def drawings() -> dict[str, Canvas]:
        drawn = figures(analysis or Analysis(results_dir, fpr), watch=watch)
        return {f"{place}/{kind.name}{study.suffix}": figure for study, kind, figure in drawn}

    def make(form: str) -> dict[str, bytes]:
        content, drawn = dict[str, bytes](), drawings()
        with PAGE.settings(), threadpool_limits(1), watch(f"figures, {form}", len(drawn)) as done:
            for name, each in drawn.items():
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
    with PAGE.settings(), threadpool_limits(1):
        for name, sketch in comparison.FIGURES.items():
            if (drawn := sketch(numbers, study)) is not None:
                write_literally(drawn)
                for form, encode in FORMATS.items():
                    path = f"{folder(study.fpr)}figures/{name}.{form}"
                    files.write(directory / path, directory, encode(drawn))
