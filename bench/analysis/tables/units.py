"""Units of φ: the smallest radius of PGD, which is only a radius where PGD misses κ."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import families
from evil_twins.bench.analysis.tables.frames import flags, line
from evil_twins.bench.analysis.tables.records import Records, read


def missed_units(records: Records) -> dict[int, tuple[int, int]]:
    """Count the targets whose unit of φ comes from a PGD that misses κ.

    Returns:
        Row with 0 < φ < 1, if the suite has PGD at its κ and in its norm -> the number of these
        targets, and of all targets of the row.
    """
    counts = {}
    reached = records.targets.assign(at_kappa=flags(records.targets, "at_kappa"))
    of_row = {int(str(row)): part.set_index("target_id") for row, part in reached.groupby("row")}
    for family in families(records):
        if family.along != "phi" or family.pgd is None:
            continue
        pgd = of_row[family.pgd]
        missed = pgd.index[~pgd["at_kappa"]]
        for row, level in family.rows:
            if 0 < level < 1:
                counts[row] = int(of_row[row].index.isin(missed).sum()), len(of_row[row])
    return counts


def unit_lines(records: Records, rows: pd.DataFrame) -> Iterator[str]:
    """Yield a line for each of these rows with units from a PGD that misses κ."""
    counts = missed_units(records)
    for row in text.ordered(rows):
        missed, n = counts.get(row, (0, 0))
        if missed:
            name = text.name(line(rows, row))
            yield f"Units of φ: {missed} of {n} are radii of a PGD that misses κ in {name}"


def missed_lines(directory: Path) -> list[str]:
    """Return a line for all rows of a suite with units from a PGD that misses κ, if it has any.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    counts = [pair for pair in missed_units(read(directory, ["targets"])).values() if pair[0]]
    if not counts:
        return []
    missed, n = map(sum, zip(*counts, strict=True))
    words = f"{missed} of {n} units of φ, in {len(counts)} rows"
    return [f"{words}, are radii of a PGD that misses κ: see tables/attacks.md"]
