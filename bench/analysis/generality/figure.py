"""The figure of a comparison of populations: the rate of each detector in each of them."""

from evil_twins.bench.analysis.generality.numbers import Numbers
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.dots import dots, entries
from evil_twins.bench.analysis.plots.style import LOOKS, Design
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL

POPULATIONS = len(LOOKS)
"""Most populations that are drawn: a further one would have the look of another."""
WIDTH = 20.0
"""Width of a panel in letters."""


def draw(numbers: Numbers, design: Design) -> Canvas | None:
    """Draw a panel for each family: detectors down, rates across; None without rates."""
    table = numbers.rates.dropna(subset=["rate"])
    families = [moves for moves in FAMILIES if table["moves"].eq(moves).any()]
    detectors = style.detector_order(table["detector"])
    if not families:
        return None
    shown = numbers.names[:POPULATIONS]
    size = 3.1 * len(families) + 1.6, 0.1 * len(shown) * len(detectors) + 1.9
    drawn = Canvas(design, *size, wide=True)
    height = len(detectors) * max(1.5, 0.5 * len(shown)) + 1.0
    panels = drawn.panels(len(families), len(families), "flagged targets", (WIDTH, height))
    for axes, moves in zip(panels, families, strict=True):
        drawn.entitle(axes, FAMILIES[moves])
        part = table[table["moves"].eq(moves)]
        series = {
            name: {str(line["detector"]): line for line in lines(part[part["population"].eq(name)])}
            for name in shown
        }
        dots(axes, dict(zip(detectors, detectors, strict=True)), series, numbers.gathered.fpr)
    note = (
        "Share of targets flagged under a random attack of the family, the same attacks in every "
        f"population, at a false-positive rate of {text.percent(numbers.gathered.fpr)} (dotted), "
        f"with 95 % intervals {MEAN}, or, in a population of one victim, {MODEL}. Home is "
        f"{numbers.home.name}."
    )
    note += style.further(len(numbers.names), len(shown), "populations are in the tables")
    title = f"Detectors at home and elsewhere, κ {text.level(numbers.gathered.kappa)}"
    drawn.caption(title, note, entries(design, shown))
    return drawn
