"""Tables and figures for papers: each option prints or draws what it says."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import evil_twins as et
from evil_twins.bench.analysis import contents, plots, tables
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.export import export, figure
from evil_twins.bench.analysis.plots.labels import Labels
from evil_twins.bench.analysis.plots.study import View
from evil_twins.bench.analysis.plots.style import LOOKS, Design
from evil_twins.bench.analysis.tables import TABLES, Analysis
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.selection import Selection, selection
from evil_twins.bench.commands import app
from evil_twins.bench.store.levels import BENIGN
from tests.bench import reported, synthetic
from tests.bench.runs import mistake


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = reported.frames(n=14, kappas=(0.75, 0.9))
    frames = {name: frame.replace({"kappa": {0.9: BENIGN}}) for name, frame in frames.items()}
    frames["gallery"] = frames["gallery"][frames["gallery"]["target_id"] < "digits/0002"]
    return synthetic.write(tmp_path_factory.mktemp("papers") / "small", frames)


@pytest.fixture(scope="module")
def analysis(folder: Path) -> Analysis:
    return Analysis(folder)


@pytest.fixture(autouse=True)
def _shared(folder: Path, analysis: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands and results share the numbers of the folder, which take seconds."""

    def opened(source: Path | tables.Records, fpr: float = 0.05) -> Analysis:
        return analysis if (source, fpr) == (folder, 0.05) else Analysis(source, fpr)

    monkeypatch.setattr(tables, "Analysis", opened)


@pytest.fixture
def printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that returns what `table` prints for its words."""

    def run(*words: str) -> str:
        assert app.main(["table", str(folder), *words]) == 0
        return capsys.readouterr().out

    return run


def _view(design: Design | None = None, choice: Selection | None = None) -> View:
    return View(design or Design("paper"), choice or Selection())


def test_chosen_lines_have_the_numbers_of_the_whole_table(
    printed: Callable[..., str], analysis: Analysis
) -> None:
    words = ("--attacks", "imc*", "--detectors", "curvature", "--kappa", "benign")
    columns = "phi,rate,fpr_p_holm"
    table = pd.read_csv(
        io.StringIO(printed("detection", *words, "--columns", columns, "--format", "csv"))
    )
    whole = analysis.table(DETECTION).query(
        "attack == 'imc' and detector == 'curvature' and kappa == 1 and fpr_nominal == .05"
    )
    assert list(table.columns) == columns.split(",")
    assert len(table) == 3
    for column in table:
        assert list(table[column]) == pytest.approx(list(whole[column]), rel=1e-5)


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
    assert "curvature (K0)" in terminal.replace("\xa0", " ")
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
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert said in mistake(capsys, "table", str(folder), *words)


def test_every_table_and_figure_is_listed() -> None:
    assert set(contents.TABLES) == {table.name for table in TABLES} | {contents.RATES}
    assert list(contents.FIGURES) == [kind.name for kind in plots.FIGURES]


def _drawn(drawn: Canvas) -> pd.DataFrame:
    """Return the points of all named lines of a figure."""
    parts = [
        pd.DataFrame({"line": line.get_label(), "x": line.get_xdata(), "y": line.get_ydata()})
        for axes in drawn.axes
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    ]
    return pd.concat(parts, ignore_index=True)


LINES = ("detection", "detection-phi", "detection-fidelity", "tradeoff", "figure-4", "figure-5")


@pytest.mark.parametrize("name", [*LINES, "roc"])
def test_the_numbers_are_the_drawn_lines(analysis: Analysis, name: str) -> None:
    drawn = figure(analysis, name, _view(Design()))
    order = ["line", "x", "y"]
    numbers, points = (frame.sort_values(order) for frame in (drawn.numbers, _drawn(drawn)))
    assert len(numbers) > 0
    assert list(numbers["line"]) == list(points["line"])
    for column in ("x", "y"):
        values = (frame[column].to_numpy(dtype=float) for frame in (numbers, points))
        np.testing.assert_array_equal(*values)
    assert (numbers["panel"] != "").all()


def test_the_numbers_of_rates_are_those_of_the_table(analysis: Analysis) -> None:
    choice = selection(["imc", "pgd"], "curvature", "benign")
    drawn = figure(analysis, "detection", _view(choice=choice))
    assert set(drawn.numbers["panel"]) == {"κ benign"}
    assert set(drawn.numbers["detector"]) == {"curvature"}
    table = analysis.table(DETECTION).query("fpr_nominal == .05 and phi > 0")
    rates = choice.lines(table)["rate"]
    assert sorted(drawn.numbers["x"]) == pytest.approx(sorted(rates))


def test_a_sweep_keeps_its_endpoints(analysis: Analysis) -> None:
    choice = selection("imc", "confidence", 0.75)
    drawn = figure(analysis, "detection-phi", _view(choice=choice))
    assert list(drawn.numbers["x"]) == [0, 0.25, 0.5, 0.75, 1]
    assert {axes.get_title("left") for axes in drawn.axes} == {"confidence  (K0)"}


def test_letters_have_their_size_and_words_their_labels(analysis: Analysis) -> None:
    labels = Labels({"imc": "Ours"}, {"curvature": "Bend"})
    design = Design("paper", 3.3, 2.2, title=False, palette="colorblind", labels=labels)
    choice = selection("imc", "curvature", 0.75)
    drawn = figure(analysis, "detection-phi", _view(design, choice))
    assert tuple(drawn.get_size_inches()) == (3.3, 2.2)
    texts = [text for text in drawn.findobj(Text) if text.get_text()]  # type: ignore[attr-defined]
    assert {text.get_fontsize() for text in texts} == {8.0}  # type: ignore[attr-defined]
    words = " ".join(text.get_text() for text in texts)  # type: ignore[attr-defined]
    assert "Ours" in words
    assert "Bend" in words
    assert "digits, resnet-tiny" not in words
    assert "digits, resnet-tiny" in drawn.words
    line = drawn.axes[0].get_lines()[0]
    assert line.get_color() == "#0173b2"
    assert line.get_marker() == LOOKS[0].marker


def test_export_writes_image_numbers_and_words(analysis: Analysis, tmp_path: Path) -> None:
    choice = selection("imc", "curvature", "benign")
    paths = export(analysis, ["detection-phi"], _view(choice=choice), "pdf", tmp_path)
    assert paths == [tmp_path / "detection-phi.pdf"]
    content = paths[0].read_bytes()
    assert b"/CIDFontType2" in content  # TrueType
    assert b"/Type3" not in content
    assert re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", content) == [b"237.6"]
    drawn = figure(analysis, "detection-phi", _view(choice=choice))
    stored = pd.read_csv(tmp_path / "detection-phi.csv")
    assert list(stored["y"]) == pytest.approx(list(drawn.numbers["y"]), rel=1e-5)
    assert "5 % (dotted)" in (tmp_path / "detection-phi.txt").read_text()


def test_a_figure_that_does_not_fit_is_refused(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(et.UserError, match=r"tradeoff: .* does not fit into 1 × 0.8 inches"):
        export(analysis, ["tradeoff"], _view(Design("paper", 1.0, 0.8)), "png", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rocc"], "unknown figure 'rocc': did you mean 'roc'"),
        (["tradeoff", "--detectors", "curvature"], "does not depend on detectors"),
        (["price"], "does not have the data of figure 'price'"),
        (["roc", "--palette", "colrblind"], "did you mean 'colorblind'"),
        (["roc", "--width", "99"], "expected: 0.5 to 40 inches"),
        (["roc", "--detectors", "curv"], "unknown detector 'curv': did you mean 'curvature'"),
        (["roc", "--labels", "labels.toml"], "unknown attack 'icm': did you mean 'imc'"),
        (["roc", "--labels", "none.toml"], "cannot read the labels none.toml"),
        (["roc", "--style", "papper"], "'papper' is not one of"),
    ],
)
def test_mistakes_of_plot(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.toml").write_text('[attacks]\nicm = "Ours"\n')
    assert said in mistake(capsys, "plot", str(folder), *words)
    assert not Path("figures").exists()


def test_a_result_draws_with_the_same_options(folder: Path) -> None:
    result = et.load(folder)
    drawn = result.plot(attacks="imc", kappa="benign", labels={"attacks": {"imc": "Ours"}})
    assert set(drawn.numbers["line"]) == {f"Ours head φ {phi}" for phi in (".25", ".5", ".75")}
    drawn.axes[0].set_xlabel("changed")
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert drawn.axes[0].get_xlabel() == "changed"
    with pytest.raises(et.UserError, match="unknown style of figures 'papper'"):
        result.plot(style="papper")
    with pytest.raises(et.UserError, match="did you mean 'attacks'"):
        result.plot(labels={"atacks": {}})


def test_the_command_draws_for_a_paper_or_for_the_page(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.main(["plot", str(folder), "detection", "--kappa", ".75", "--format", "svg"]) == 0
    assert capsys.readouterr().out == "figures/detection.svg\n"
    names = {path.name for path in Path("figures").iterdir()}
    assert names == {f"detection.{ending}" for ending in ("svg", "csv", "txt")}
