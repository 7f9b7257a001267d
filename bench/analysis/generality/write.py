"""Files of a comparison of populations: tables, a page in Markdown, a figure."""

from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.generality import figure
from evil_twins.bench.analysis.generality.numbers import TABLES, Numbers
from evil_twins.bench.analysis.generality.page import markdown
from evil_twins.bench.analysis.kept import folder, writing
from evil_twins.bench.analysis.plots import encode
from evil_twins.bench.analysis.plots.literal import write_literally
from evil_twins.bench.analysis.plots.style import PAGE
from evil_twins.bench.analysis.tables.write import FOLDER, csv
from evil_twins.bench.store import files
from evil_twins.bench.store.levels import BENIGN

NAME = "generality"
"""The folder in that of the results, and the stem of the page and the figure."""


def write(results: Path, numbers: Numbers) -> Path:
    """Write the files into `<results>/generality/` and return the page.

    At another κ than "benign" or another rate than the default they lie in folders there. Equal
    records and versions give equal bytes.

    Args:
        results: The folder of results.
        numbers: The numbers.

    Raises:
        ReadOnly: The files cannot be written.
        UserError: A folder for the files is a link out of the results.
    """
    kappa, fpr = numbers.gathered.kappa, numbers.gathered.fpr
    level = "" if kappa == BENIGN else f"kappa-{kappa!r}/"
    place = results / NAME / f"{level}{folder(fpr)}"
    content = {f"{FOLDER}/{table.name}.csv": csv(numbers.frames[table.name]) for table in TABLES}
    content |= {f"{NAME}.md": markdown(numbers).encode(), **_figure(numbers)}
    with writing(results):
        for name, data in content.items():
            files.write(place / name, results, data)
    return place / f"{NAME}.md"


def _figure(numbers: Numbers) -> dict[str, bytes]:
    """Return the files of the figure by their path; none without rates."""
    with PAGE.settings(), threadpool_limits(1):
        drawn = figure.draw(numbers, PAGE)
        if drawn is None:
            return {}
        write_literally(drawn)
        formats = encode.IMAGES | {"csv": encode.numbers}
        return {f"figures/{NAME}.{form}": make(drawn) for form, make in formats.items()}
