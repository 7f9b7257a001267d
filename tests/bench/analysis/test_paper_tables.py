"""Tables for papers: each option prints what it says."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import contents, plots
from evil_twins.bench.analysis.tables import TABLES, Analysis
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.commands import app
from tests.bench import reported, synthetic
from tests.bench.runs import mistake

pytestmark = pytest.mark.usefixtures("shared")


@pytest.fixture
def printed(papers: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that returns what `table` prints for its words."""

    def run(*words: str) -> str:
        assert app.main(["table", str(papers), *words]) == 0
        return capsys.readouterr().out

    return run


def test_chosen_lines_have_the_numbers_of_the_whole_table(
    printed: Callable[..., str], numbers: Analysis
) -> None:
    words = ("--attacks", "imc*", "--detectors", "curvature", "--kappa", "benign")
    columns = "phi,rate,fpr_p_holm"
    table = pd.read_csv(
        io.StringIO(printed("detection", *words, "--columns", columns, "--format", "csv"))
    )
    whole = numbers.table(DETECTION).query(
        "attack == 'imc' and detector == 'curvature' and kappa == 1 and fpr_nominal == .05"
    )
    assert list(table.columns) == columns.split(",")
    assert len(table) == 3
    for column in table:
        assert list(table[column]) == pytest.approx(list(whole[column]), rel=1e-5)


def test_chosen_attacks_without_scores_are_counted_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = synthetic.frames(n=20, kappas=(0.75,))
    frames["scores"] = frames["scores"][frames["scores"]["method"] != "pgd"]
    directory = synthetic.write(tmp_path, frames)
    assert app.main(["table", str(directory), "--attacks", "pgd*"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "1 attack has no scores and no line here: see attacks.md" in map(str.strip, lines)


def test_json_holds_the_cells_of_the_csv(printed: Callable[..., str]) -> None:
    words = ("attacks", "--kappa", ".75", "--format")
    lines = json.loads(printed(*words, "json"))
    table = pd.read_csv(io.StringIO(printed(*words, "csv")))
    assert len(lines) == len(table) == 5
    assert [line["attack"] for line in lines] == list(table["attack"])
    assert [line["linf"] for line in lines] == pytest.approx(list(table["linf"]), rel=1e-5)
    assert lines[0]["lam"] is None


def test_readable_tables_join_intervals_and_name_what_lines_share(
    printed: Callable[..., str],
) -> None:
    words = ("detection", "--detectors", "confidence", "--kappa", "benign", "--attacks", "pgd")
    chosen = printed(*words, "--columns", "attack,kappa,rate,low,high")
    head, _, line = (row.strip("| ").split(" | ") for row in chosen.splitlines()[2:])
    assert head == ["attack", "kappa", "rate"]
    assert line[:2] == ["pgd", "benign"]
    assert re.fullmatch(r"\S+ \[\S+, \S+\]", line[2])
    assert "detection, dataset digits" in printed(*words)
    html = printed(*words, "--columns", "attack,rate", "--format", "html")
    assert html.count("<td>") == 1
    latex = printed(*words, "--columns", "fpr_nominal,rate", "--format", "latex")
    assert r"fpr\_nominal & rate \\" in latex


def test_the_matrix_shows_the_selection_and_its_best(printed: Callable[..., str]) -> None:
    words = ("--kappa", ".75", "--attacks", "pgd", "--format")
    whole, chosen = printed(*words, "md"), printed(*words, "md", "--detectors", "confidence")
    assert "κ benign" not in whole
    assert chosen.count("\n| ") == 3
    assert [line for line in chosen.splitlines() if line.startswith("| confidence")]
    assert "imc" not in whole
    terminal = printed("--attacks", "pgd", "--detectors", "curv*")
    name, knowledge = terminal.splitlines()[1:3]
    assert (name.split(), knowledge.split()) == (["curvature"], ["attack", "n", "K0"])
    assert "confidence" not in terminal.replace("required confidence", "")


def test_victims_are_pooled_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = reported.frames(n=4), reported.frames(n=4)
    second = {
        name: frame.assign(seed=1) if "seed" in frame else frame for name, frame in second.items()
    }
    frames = {name: pd.concat([first[name], second[name]]) for name in first}
    place = synthetic.write(tmp_path / "two", frames)
    line = ["table", str(place), "--format", "csv", "--victims"]
    assert app.main([*line, "0,1"]) == 0
    both = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert app.main([*line, "1"]) == 0
    single = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert list(both["n"]) == [2 * n for n in single["n"]]
    assert set(single["victims"]) == {1}
    assert set(single["seed"]) == {1}
    assert "known: 0, 1" in mistake(capsys, *line, "7")
    assert "is no seed" in mistake(capsys, *line, "x")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["atacks"], "did you mean 'attacks'"),
        (["attacks", "--detectors", "curvature"], "has no column 'detector'"),
        (["victims", "--kappa", ".75"], "has no column 'kappa'"),
        (["attacks", "--fpr", ".1"], "has no rate of a detector"),
        (["--columns", "rate"], "their columns are attacks"),
        (["detection", "--columns", "rte"], "did you mean 'rate'"),
        (["detection", "attacks", "--format", "csv"], "holds one table"),
        (["load"], "has no lines for this suite"),
        (["worst", "--detectors", "any"], "has no lines with this selection"),
        (["--attacks", "pdg", "--format", "md"], "unknown attack 'pdg': did you mean 'pgd'"),
        (["--kappa", ".8", "--format", "md"], "known: .75, benign"),
        (["--kappa", "high"], "a number in (0, 1)"),
    ],
)
def test_an_option_without_a_meaning_is_refused(
    papers: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in mistake(capsys, "table", str(papers), *words)


def test_every_table_and_figure_is_listed() -> None:
    assert set(contents.TABLES) == {table.name for table in TABLES} | {contents.RATES}
    assert list(contents.FIGURES) == [kind.name for kind in plots.FIGURES]
