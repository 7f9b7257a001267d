"""The files of tables, and their output on a terminal."""

import ast
import io
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from evil_twins.bench.analysis import kept, tables
from evil_twins.bench.analysis.kept import LIBRARIES, NOTE
from evil_twins.bench.analysis.tables import TABLES, Analysis, Table, text
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.records import KEYS
from evil_twins.bench.analysis.tables.victims import VICTIMS
from evil_twins.bench.errors import UserError
from tests.bench import synthetic

ROOT = Path(__file__).parents[3]
ANALYSIS = ROOT / "bench" / "analysis"


def _shown(directory: Path, fpr: float = 0.05, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tables.show(directory, fpr))
    return console.export_text()


def test_written_tables_are_the_same_bytes_whatever_the_order_of_records(tmp_path: Path) -> None:
    frames = synthetic.frames(n=20, kappas=(0.75,))
    first = synthetic.write(tmp_path / "a", frames)
    mixed = {name: frame.sample(frac=1, random_state=1) for name, frame in frames.items()}
    second = synthetic.write(tmp_path / "b", mixed)
    tables.write(first)
    tables.write(second)
    names = sorted(path.name for path in (first / "tables").iterdir())
    assert {"detection.csv", "detection.md", "attacks.md", "trends.md", "worst.csv"} <= set(names)
    for name in names:
        assert (first / "tables" / name).read_bytes() == (second / "tables" / name).read_bytes()
    page = (first / "tables" / "detection.md").read_text()
    assert "score beyond x imc: out of time" in page
    assert "pgd κ .75 φ 1" in page


def test_shown_matrix_fits_eighty_columns_and_names_failures(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path, synthetic.frames(n=20, kappas=(0.75,)))
    shown = _shown(directory)
    assert "score beyond x imc: out of time" in shown
    assert "curvature-adjusted" in shown
    line = next(line for line in shown.splitlines() if "pgd κ .75 φ 1" in line)
    assert len(line.split()) == 5 + 1 + 7


def test_detectors_have_their_names_where_they_fit_and_else_letters(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path, synthetic.frames(n=4, kappas=(0.75,)))
    wide, narrow = (_shown(directory, width=width).splitlines() for width in (120, 80))
    assert {"any", *synthetic.DETECTORS} <= set(wide[1].split())
    assert wide[2].split()[:2] == ["attack", "n"]
    assert wide[2].split()[2:] == _labels()
    assert not any("\N{NO-BREAK SPACE}" in line for line in wide)
    assert narrow[1].split() == ["attack", "n", *"abcdefg"]
    assert any(line.startswith("a\N{NO-BREAK SPACE}any") for line in narrow)


def _labels() -> list[str]:
    """Return the knowledge of each detector by name; "any" has the largest."""
    return ["K1", *(synthetic.DETECTORS[name][0] for name in sorted(synthetic.DETECTORS))]


def test_attacks_without_scores_have_no_line_but_are_counted(tmp_path: Path) -> None:
    frames = synthetic.frames(n=20, kappas=(0.75,))
    frames["scores"] = frames["scores"][frames["scores"]["method"] != "pgd"]
    directory = synthetic.write(tmp_path, frames)
    tables.write(directory)
    page = (directory / "tables" / "detection.md").read_text()
    for shown in (page, _shown(directory)):
        assert "pgd κ .75 φ 1" not in shown
        assert "imc head κ .75 φ .5" in shown
        assert "1 attack has no scores and no line here: see" in shown
    assert "pgd κ .75 φ 1" in (directory / "tables" / "attacks.md").read_text()


def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path) -> None:
    frames = synthetic.frames(n=20, kappas=(0.75,))
    frames = {name: frame.replace("pgd", "[/b] pgd") for name, frame in frames.items()}
    assert "[/b] pgd" in _shown(synthetic.write(tmp_path, frames))


def test_missing_and_foreign_records_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run SUITE"):
        tables.write(tmp_path)
    directory = synthetic.write(tmp_path, synthetic.frames(n=20, kappas=(0.75,)))
    (directory / "scores.parquet").write_bytes(b"half a file")
    with pytest.raises(UserError, match="cannot read"):
        tables.read(directory)
    pd.DataFrame({key: [] for key in KEYS}).to_parquet(directory / "scores.parquet")
    with pytest.raises(UserError, match="lacks the columns"):
        tables.show(directory)


def test_optional_records_may_be_missing(tmp_path: Path) -> None:
    frames = synthetic.frames(n=20, kappas=(0.75,))
    tables.write(synthetic.write(tmp_path, {name: frames[name] for name in ("targets", "scores")}))
    assert "no cell failed" in (tmp_path / "tables" / "detection.md").read_text().lower()


def test_numbers_in_words() -> None:
    assert text.rate(3, 40, 0.0157, 0.2039) == "3/40 0.07 [0.02, 0.20]"
    assert (text.p_value(0.0004), text.p_value(0.0421), text.p_value(np.nan)) == (
        "< 0.001",
        "0.042",
        "",
    )
    row = {"attack": "imc", "layers": "head", "kappa": 0.75, "phi": np.nan, "lam": 30.0}
    assert text.name(row) == "imc head κ .75 λ 30"


def test_reading_half_loads_without_torch() -> None:
    rooms = ", ".join(
        f"evil_twins.bench.analysis.{name}" for name in ("claims", "stats", "tables", "plots")
    )
    code = f"import sys, {rooms}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("lost", [("scores",), ("scores", "targets", "flips", "details")])
def test_a_suite_whose_cells_all_failed_still_has_tables(
    lost: tuple[str, ...], tmp_path: Path
) -> None:
    frames = synthetic.frames(n=4, kappas=(0.75,))
    frames = {name: frame[:0] if name in lost else frame for name, frame in frames.items()}
    directory = synthetic.write(tmp_path, frames)
    tables.write(directory)
    assert "out of time" in (directory / "tables" / "detection.md").read_text()
    assert "out of time" in _shown(directory)


def test_what_rounding_leaves_of_a_difference_is_nothing() -> None:
    assert [text.number(value) for value in (0.3 - 0.1 - 0.2, 2e-12, -4e-16)] == ["0", "2e-12", "0"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_the_page_of_columns_is_that_of_the_tables(table: Table) -> None:
    page = (ROOT / "docs" / "tables.md").read_text()
    section = page.split(f"\n## `{table.name}.csv`\n")[1].split("\n## ")[0]
    rows = [f"| {', '.join(group.split())} | {words} |" for group, words in table.columns.items()]
    rows = [row for row in rows if not row.endswith("|  |")]
    documented = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert documented == rows, f"the lines of {table.name}.csv must be:\n" + "\n".join(rows)


def _stamps(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (directory / "tables").iterdir()}


def test_stored_tables_are_used_until_they_or_the_records_change(
    tmp_path: Path, make_only: Callable[..., None]
) -> None:
    make_only(ATTACKS, VICTIMS)
    directory = synthetic.write(tmp_path, synthetic.frames(n=8, kappas=(0.75,)))
    tables.write(directory)
    stamps, path = _stamps(directory), directory / "tables" / "attacks.csv"
    true = path.read_bytes()
    tables.write(directory)
    assert _stamps(directory) == stamps
    path.write_bytes(true.replace(b"0", b"1"))
    tables.write(directory)
    assert path.read_bytes() == true
    path.unlink()
    tables.write(directory)
    assert path.read_bytes() == true
    synthetic.write(tmp_path, synthetic.frames(n=10, kappas=(0.75,)))
    tables.write(directory)
    assert path.read_bytes() != true


def test_other_code_makes_stored_tables_again(
    tmp_path: Path, make_only: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_only(VICTIMS)
    directory = synthetic.write(tmp_path, synthetic.frames(n=8, kappas=(0.75,)))
    tables.write(directory)
    stamps = _stamps(directory)
    tables.write(directory)
    assert _stamps(directory) == stamps
    monkeypatch.setattr(kept, "_code", lambda: "other code, or other versions of libraries")
    tables.write(directory)
    assert not _stamps(directory).items() & stamps.items()


def test_a_forged_note_leads_nowhere(tmp_path: Path, make_only: Callable[..., None]) -> None:
    make_only(ATTACKS, VICTIMS)
    directory = synthetic.write(tmp_path / "small", synthetic.frames(n=8, kappas=(0.75,)))
    tables.write(directory)
    (tmp_path / "secret").write_text("keep")
    note = json.loads((directory / NOTE).read_text())
    for forged in ("[", "[]", '{"tables": 3}', '{"tables": {"files": {"../secret": "0"}}}'):
        (directory / NOTE).write_text(forged)
        tables.write(directory)
        assert json.loads((directory / NOTE).read_text()) == note
    assert (tmp_path / "secret").read_text() == "keep"
    forged = {"tables": {"key": "", "files": {"failures.parquet": "", "tables/stale.csv": ""}}}
    (directory / NOTE).write_text(json.dumps(forged))
    (directory / "tables" / "stale.csv").touch()
    tables.write(directory)
    assert (directory / "failures.parquet").exists()
    assert not (directory / "tables" / "stale.csv").exists()


def test_no_link_is_followed(tmp_path: Path, make_only: Callable[..., None]) -> None:
    make_only(ATTACKS, VICTIMS)
    directory = synthetic.write(tmp_path / "small", synthetic.frames(n=8, kappas=(0.75,)))
    (tmp_path / "secret").write_text("keep")
    (directory / "tables").mkdir()
    (directory / "tables" / "victims.csv").symlink_to(tmp_path / "secret")
    tables.write(directory)
    assert (tmp_path / "secret").read_text() == "keep"
    (directory / "tables").rename(tmp_path / "elsewhere")
    (directory / "tables").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="link"):
        tables.write(directory)


def test_the_shown_matrix_is_the_same_from_stored_tables_and_from_records(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path, synthetic.frames(n=20, kappas=(0.75,)))
    computed = _shown(directory)
    tables.write(directory)
    assert _shown(directory) == computed
    assert "FPR 1 %" in _shown(directory, 0.01) != computed
    with pytest.raises(ValueError, match=r"0\.05"):
        tables.write(directory, Analysis(directory, 0.01))


def test_derived_files_depend_on_every_library_that_the_analysis_imports() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in ANALYSIS.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    offers = packages_distributions()
    modules = {name.split(".")[0] for name in names} & offers.keys()
    libraries = {offers[module][0].lower() for module in modules}
    no_content = {"evil-twins", "pydantic", "rich", "threadpoolctl"}
    assert libraries - no_content <= set(LIBRARIES)
