"""Records, tables, figures and pages that `verify` compares with the cells."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.commands import app
from tests.bench import suites
from tests.bench.small_run import CELLS, PARTS, line
from tests.bench.suites import doubt


@pytest.mark.usefixtures("no_figures", "no_workers")
@pytest.mark.parametrize("how", ["forged", pytest.param("cut", marks=pytest.mark.slow)])
def test_records_are_held_against_the_cells_though_some_failed(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    path = suites.write(tmp_path, *PARTS, doubt("bad", fault="raise"))
    run = ["run", path, "--results", str(tmp_path), "--jobs", "1"]
    assert app.main(run) == 1
    check = ["verify", path, "--results", str(tmp_path), "--sample", "0"]
    assert app.main(check) == 0
    stored = tmp_path / "small" / "scores.parquet"
    good = stored.read_bytes()
    if how == "forged":
        frame = pd.read_parquet(stored)
        frame.assign(score=frame["score"] + 99.0).to_parquet(stored)
    else:
        stored.write_bytes(good[:200])
    assert app.main(check) == 1
    assert f"{stored} is not what the stored results give; remedy: run again" in (
        capsys.readouterr().out
    )
    assert app.main(run) == 1
    assert stored.read_bytes() == good
    stored.write_bytes(good[:200])
    assert app.main(run) == 1  # without `verify` as well
    assert stored.read_bytes() == good


@pytest.mark.slow
def test_figures_are_checked_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = Path(__file__).parents[3] / "results" / "reference" / "quick"
    shutil.copytree(stored, tmp_path / "quick", ignore=shutil.ignore_patterns("cells"))
    reference = ["quick", "--results", str(tmp_path)]
    assert app.main(["plot", *reference]) == 0  # fonts and libraries of this machine
    figure = tmp_path / "quick" / "figures" / "roc.png"
    good = figure.read_bytes()
    figure.write_bytes(good[:-100] + b"x" + good[-99:])
    capsys.readouterr()
    assert app.main(["verify", *reference]) == 1
    assert f"{figure} is not what the stored results give" in capsys.readouterr().out
    assert app.main(["plot", *reference]) == 0
    assert figure.read_bytes() == good
    assert app.main(["verify", *reference]) == 0


@pytest.mark.usefixtures("no_figures")
def test_scores_are_computed_again(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = ["verify", suites.write(tmp_path, *PARTS), "--results", str(whole), "--sample", "2"]
    assert app.main(check) == 0
    assert f"0 disagree; {CELLS} cells are stored, 0 are not" in capsys.readouterr().out


@pytest.mark.usefixtures("no_figures")
def test_records_without_cells_are_checked_for_what_they_can_show(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small", ignore=shutil.ignore_patterns("cells"))
    check = ["verify", suites.write(tmp_path, *PARTS), "--results", str(tmp_path)]
    assert app.main(check) == 0
    assert f"0 disagree; 0 cells are stored, {CELLS} are not" in capsys.readouterr().out
    scores = tmp_path / "small" / "scores.parquet"
    frame = pd.read_parquet(scores)
    frame.assign(score=frame["score"] + 99.0).to_parquet(scores)
    assert app.main(check) == 1
    assert f"{scores} is not what the stored results give" in capsys.readouterr().out
    scores.write_text("garbage")
    assert app.main(check) == 1
    assert f"cannot read {tmp_path}" in capsys.readouterr().out
    assert (tmp_path / "small" / "run.json").exists()  # nobody here could make it again


@pytest.mark.usefixtures("no_figures")
def test_page_and_verdicts_are_verified_and_go_with_their_records(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run, at = line(tmp_path, tmp_path), ["--results", str(tmp_path)]
    for command in ("report", "claims"):
        assert app.main([command, "small", *at]) == 0
    check = ["verify", run[1], *at, "--sample", "0"]
    assert app.main(check) == 0
    page, verdicts = (tmp_path / "small" / name for name in ("index.html", "claims.csv"))
    page.write_text(page.read_text().replace("No cell failed", "All is well"))
    verdicts.write_text(verdicts.read_text().replace("undecided", "holds"))
    capsys.readouterr()
    assert app.main(check) == 1
    said = capsys.readouterr().out
    for path, command in ((page, "report"), (verdicts, "claims")):
        assert f"{path} is not what the records give; remedy: `evil-twins {command}`" in said
    assert app.main(run) == 0
    assert all(path.exists() for path in (page, verdicts))
    (tmp_path / "small" / "run.json").unlink()
    assert app.main(run) == 0
    assert not any(path.exists() for path in (page, verdicts))
