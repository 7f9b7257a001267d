"""Detection rates in the forms of a paper."""

import io
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables.any_of import NAME
from evil_twins.bench.analysis.tables.named import printed
from evil_twins.bench.commands import app
from tests.bench import reported, synthetic


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write(tmp_path_factory.mktemp("typeset") / "small", reported.frames(n=20))


def test_the_best_detectors_of_each_attack_are_marked(directory: Path) -> None:
    table = pd.read_csv(io.StringIO(printed(tables.Analysis(directory), "rates", "csv")))
    assert len(table) == 3 * len(synthetic.rows((0.75,)))
    lacking = table["detector"].eq(NAME)
    assert table.loc[lacking, ["detected", "rate", "low", "high"]].isna().all(axis=None)
    assert table.loc[lacking, "auroc"].between(0, 1).all()
    assert (table["rate"] == table["detected"] / table["n"])[~lacking].all()
    barred = table["method"].eq("untouched") | table["detector"].eq(NAME)
    assert not table.loc[barred, "best"].any()
    for _, part in table[~barred].groupby(["attack", "phi"]):
        best = part["rate"].eq(part["rate"].max()) & part["rate"].gt(0)
        assert (part["best"] == best).all()


def test_all_forms_hold_the_same_cells(directory: Path) -> None:
    markdown, latex, html = (
        printed(tables.Analysis(directory), "rates", form) for form in ("md", "latex", "html")
    )
    marked = pd.read_csv(io.StringIO(printed(tables.Analysis(directory), "rates", "csv")))[
        "best"
    ].sum()
    assert markdown.count("**") == 2 * marked
    assert latex.count(r"\textbf{") == marked
    assert html.count("<b>") == marked
    assert html.count("<td>") == markdown.count(" [") + markdown.count("; AUROC")
    for text in (markdown, latex, html):
        assert text.count("digits, resnet-tiny, seed 0, κ .75; 95 % intervals for this model") == 1
        needs = "needs 200 calibration scores; AUROC"
        assert text.count(needs) == len(synthetic.rows((0.75,)))
        assert text.count("digits, resnet-tiny, seed 0, no κ") == 1
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2
    assert r"imc head $\varphi$ .25 &" in latex


def test_names_cannot_break_the_table(tmp_path: Path) -> None:
    frames = reported.frames(n=8)
    name = "a_b & 50 %\\ | ab2§=§8yz"  # pandas has it in place of a backslash
    frames = {key: frame.replace("pgd", name) for key, frame in frames.items()}
    directory = synthetic.write(tmp_path, frames)
    html = "<i>" + name
    named = {key: frame.replace(name, html) for key, frame in frames.items()}
    written = printed(tables.Analysis(synthetic.write(tmp_path / "html", named)), "rates", "html")
    assert "<i>" not in written
    assert "&lt;i&gt;a_b &amp; 50 %" in written
    latex = r"a\_b \& 50 \%\textbackslash{} | ab2§=§8yz"
    assert latex in printed(tables.Analysis(directory), "rates", "latex")
    assert "a_b & 50 %\\ \\| ab2§=§8yz" in printed(tables.Analysis(directory), "rates", "md")


def test_the_command_prints_the_table_alone(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["table", "small", "--results", str(directory.parent), "--format", "csv"]
    assert app.main(line) == 0
    assert capsys.readouterr().out == printed(tables.Analysis(directory), "rates", "csv")
    assert not (directory / "tables").exists()
    assert app.main([*line[:-1], "pdf"]) == 2
