"""`evil-twins plot`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from evil_twins.bench import printable
from evil_twins.bench.commands import options


class Style(StrEnum):
    """Styles of figures."""

    paper = "paper"
    talk = "talk"
    page = "page"


class Form(StrEnum):
    """Formats of figures."""

    pdf = "pdf"
    svg = "svg"
    png = "png"


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Figures; `evil-twins list` has them."),
]
StyleName = Annotated[Style | None, typer.Option(help="Letters and size. [default: paper]")]
FormName = Annotated[Form | None, typer.Option("--format", help="[default: pdf]")]
Inches = Annotated[float | None, typer.Option(help="In inches; without it that of the style.")]
NoTitle = Annotated[bool, typer.Option("--no-title", help="Draw no title.")]
LabelsFile = Annotated[
    Path | None, typer.Option(help="TOML: [attacks], [detectors] with label = words.")
]
Palette = Annotated[str, typer.Option(help="A palette of seaborn, such as colorblind.")]
Folder = Annotated[Path | None, typer.Option(help="Where figures for a paper lie.")]


def plot(
    stored: options.StoredName = "quick",
    names: Names = None,
    results: options.ResultsFolder = options.RESULTS,
    fpr: options.FalsePositiveRate = None,
    attacks: options.AttackPatterns = None,
    detectors: options.DetectorPatterns = None,
    kappa: options.KappaLevels = None,
    style: StyleName = None,
    form: FormName = None,
    width: Inches = None,
    height: Inches = None,
    no_title: NoTitle = False,
    labels: LabelsFile = None,
    palette: Palette = "",
    to: Folder = None,
) -> None:
    """Draw figures of a suite from its stored records.

    With only STORED (and --fpr) every figure of the page is drawn, in the folder of the suite.
    With a NAME or another option figures are made for a paper, each with its numbers in NAME.csv
    and its explanation in NAME.txt, in the folder `figures` or that of --to.
    """
    from evil_twins.bench.analysis import plots
    from evil_twins.bench.analysis.plots import labels as words
    from evil_twins.bench.analysis.plots.export import export
    from evil_twins.bench.analysis.plots.study import View
    from evil_twins.bench.analysis.plots.style import Design
    from evil_twins.bench.analysis.stats import FPR
    from evil_twins.bench.analysis.tables import Analysis
    from evil_twins.bench.analysis.tables.selection import selection
    from evil_twins.bench.run.derivation_progress import watching
    from evil_twins.bench.run.screen import errors

    folder, fpr = options.records_folder(stored, results), fpr or FPR
    choice = selection(attacks or (), detectors or (), kappa or ())
    look = (style or Style.paper).value
    spoken = words.read(labels) if labels else words.Labels()
    design = Design(look, width, height, not no_title, palette, spoken)
    if any((names, style, form, to, choice.options, design != Design("paper"))):
        ending, place = (form or Form.pdf).value, to or Path("figures")
        paths = export(Analysis(folder, fpr), names or (), View(design, choice), ending, place)
    else:
        paths = plots.draw(folder, fpr=fpr, watch=watching(errors()))
    for path in paths:
        printable.say(path)
