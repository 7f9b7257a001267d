"""The targets whose unit of φ comes from a PGD that misses κ."""

from pathlib import Path

import pandas as pd

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables.records import number
from evil_twins.bench.analysis.tables.units import missed_lines, missed_units
from tests.bench import synthetic


def _frames(*missed: str) -> dict[str, pd.DataFrame]:
    """Return records in which PGD at κ .75 misses it for these targets, and at κ .9 for none."""
    frames = synthetic.frames(n=6)
    targets = frames["targets"]
    pgd = targets["method"].eq("pgd")
    targets.loc[pgd, "at_kappa"] = True
    targets.loc[pgd & targets["kappa"].eq(0.75) & targets["target_id"].isin(missed), "at_kappa"] = (
        False
    )
    return frames


def test_only_rows_of_that_kappa_between_the_ends_count() -> None:
    records = number(_frames("digits/0001", "digits/0004"))
    counts = missed_units(records)
    rows = records.rows.loc[list(counts)]
    assert set(rows["method"]) == {"imc"}
    assert set(rows["phi"]) == {0.25, 0.5, 0.75}
    for row, kappa in rows["kappa"].items():
        assert counts[int(str(row))] == (2 if kappa == 0.75 else 0, 6)


def test_the_table_of_attacks_and_the_end_of_a_run_say_so(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path / "missed", _frames("digits/0001", "digits/0004"))
    (line,) = missed_lines(directory)
    assert line.startswith("6 of 18 units of φ, in 3 rows, are radii of a PGD that misses κ")
    page = tables.files(tables.Analysis(directory))["attacks.md"].decode()
    words = "Units of φ: 2 of 6 are radii of a PGD that misses κ in imc head κ .75 φ .5"
    assert words in page.splitlines()
    assert "κ .9 φ .5: " not in page


def test_nothing_is_said_if_pgd_reaches_kappa(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path / "reached", _frames())
    assert missed_lines(directory) == []


def test_without_pgd_there_is_no_unit_to_judge() -> None:
    frames = {
        name: frame[frame["method"].ne("pgd")] if "method" in frame else frame
        for name, frame in _frames("digits/0001").items()
    }
    assert missed_units(number(frames)) == {}
