"""Figures for papers and talks: chosen by name, in one design, each with its numbers and words."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis import plots
from evil_twins.bench.analysis.plots import encode
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.study import View
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.errors import UserError
from evil_twins.bench.store import files


def figure(analysis: Analysis, name: str, view: View) -> Canvas:
    """Draw a figure; of a kind of which each victim or recipe has one, the first with data.

    Args:
        analysis: The numbers of the suite.
        name: The stem of a file of `evil-twins plot`, or a kind of figure.
        view: How it looks, and what it shows.

    Raises:
        UserError: The suite has no such figure or not its data, or a label is unknown.
    """
    _check(analysis, view)
    for stem in plots.chosen(analysis, name, view.choice.options):
        for _, _, drawn in plots.figures(analysis, stem, view):
            return drawn
    raise _lacking(name)


def export(
    analysis: Analysis, names: Sequence[str], view: View, form: str, folder: Path
) -> list[Path]:
    """Write figures, each as an image, as CSV with its numbers, and as text with its explanation.

    Args:
        analysis: The numbers of the suite.
        names: Stems or kinds of figures; none for all that depend on the selection and have data.
        view: How they look, and what they show.
        form: "pdf", "svg" or "png".
        folder: Where they are written.

    Returns:
        The images.

    Raises:
        UserError: The suite has no such figure or not its data, a label is unknown, or a figure
            does not fit into its size.
    """
    _check(analysis, view)
    options, images = view.choice.options, list[Path]()
    if not names:
        stems = plots.names(analysis, options)
        return [path for stem in stems for path in _write(analysis, stem, view, form, folder)]
    for name in names:
        stems = plots.chosen(analysis, name, options)
        paths = [path for stem in stems for path in _write(analysis, stem, view, form, folder)]
        if not paths:
            raise _lacking(name)
        images += paths
    return images


def _write(analysis: Analysis, stem: str, view: View, form: str, folder: Path) -> Iterator[Path]:
    """Write the files of one figure, if it has data, and yield the image."""
    for _, _, drawn in plots.figures(analysis, stem, view):
        with view.design.settings(), threadpool_limits(1):
            try:
                image = encode.IMAGES[form](drawn)
            except UserError as error:
                raise UserError(f"{stem}: {error.lines[0]}", *error.lines[1:]) from error
        for ending, content in (
            (form, image),
            ("csv", encode.numbers(drawn)),
            ("txt", encode.words(drawn)),
        ):
            files.write(files.make_folder(folder, None) / f"{stem}.{ending}", None, content)
        yield folder / f"{stem}.{form}"


def _check(analysis: Analysis, view: View) -> None:
    view.choice.check(analysis.records)
    view.design.labels.check(analysis.records)


def _lacking(name: str) -> UserError:
    return UserError(
        f"the suite does not have the data of figure {name!r}, or nothing of it is selected",
        "remedy: add what it shows to the suite, or select other attacks, detectors or κ",
    )
