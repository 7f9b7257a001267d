"""The page of one suite, as a file."""

from pathlib import Path

from evil_twins.bench.analysis.claims.rules import retrained
from evil_twins.bench.analysis.kept import folder, kept
from evil_twins.bench.analysis.stats import FPR
from evil_twins.bench.analysis.steps import Watch, unwatched

NAME = "index.html"


def write(results_dir: Path, suite: str, fpr: float = FPR, watch: Watch = unwatched) -> Path:
    """Write `index.html`, a single file, unless it is current; return its path.

    It lies in the folder of the suite, at another false-positive rate than the default under
    `fpr-<rate>/`. Equal records, versions and machine give equal bytes.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        suite: Name of the suite.
        fpr: The nominal false-positive rate.
        watch: Follows tables and figures.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    name, after = f"{folder(fpr)}{NAME}", retrained(results_dir.parent, suite)
    stored = [path for place in after.values() for path in sorted(place.glob("*.parquet"))]
    inputs = [results_dir / "run.json", *stored]

    def make() -> dict[str, bytes]:
        from evil_twins.bench.analysis.page import (
            content,  # plotting libraries take seconds to load
        )

        return {name: content.index(results_dir, suite, fpr=fpr, watch=watch)}

    (path,) = kept(results_dir, f"{name} of {suite}", make, inputs)
    return path
