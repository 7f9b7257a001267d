"""Figures from stored records: nothing here loads a model."""

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.plots import (
    budgets,
    distributions,
    figure4,
    figure5,
    price,
    roc,
    serving,
    sheet,
    style,
    sweeps,
    tradeoff,
)
from evil_twins.bench.analysis.plots.study import Study, studies
from evil_twins.bench.analysis.tables import Records, read, with_any

__all__ = ["compare", "draw", "figures"]

_FIGURES = {
    "detection-phi": sweeps.along_phi,
    "detection-fidelity": sweeps.along_fidelity,
    "tradeoff": tradeoff.draw,
    "budgets": budgets.draw,
    "load": serving.draw,
    "price": price.draw,
    "figure-4": figure4.draw,
    "figure-5": figure5.draw,
    "roc": roc.draw,
    "distributions": distributions.draw,
    "images": sheet.draw,
}


def figures(records: Records) -> Iterator[tuple[Study, str, Figure]]:
    """Every figure with its study and its name; one whose data the suite lacks is left out.

    Args:
        records: As `read` returns them; the detector "any" is added here.
    """
    with style.look(), threadpool_limits(1):
        for study in studies(with_any(records)):
            for name, make in _FIGURES.items():
                made = make(study)
                if made is not None:
                    yield study, name, made


def draw(results_dir: Path) -> list[Path]:
    """Draws every figure of a suite under `figures/`, as SVG and PNG.

    A figure whose data the suite does not hold (no sweep, no stored images) is left out. Records
    of several studies (data set, victim, seed) give one set of figures each.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.

    Returns:
        The files, in the order in which they were drawn.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    directory = results_dir / "figures"
    records = read(results_dir)
    directory.mkdir(exist_ok=True)
    paths = []
    for study, name, made in figures(records):
        paths += style.save(made, directory, name + study.suffix)
    return paths


def compare(directory: Path, label: str) -> None:
    """Draws a new detector's rate along phi beside those of the others, under `figures/`.

    Args:
        directory: Of the comparison, with its records.
        label: The detector.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    records = read(directory)
    (directory / "figures").mkdir(exist_ok=True)
    with style.look(), threadpool_limits(1):
        for study in studies(records):
            made = sweeps.along_phi(study, label)
            if made is not None:
                style.save(made, directory / "figures", "compare" + study.suffix)
