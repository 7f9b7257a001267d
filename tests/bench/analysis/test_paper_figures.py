"""Figures for papers: each option draws what it says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import evil_twins as et
from evil_twins.bench.analysis.plots.canvas import Canvas
from evil_twins.bench.analysis.plots.export import export, figure
from evil_twins.bench.analysis.plots.labels import Labels
from evil_twins.bench.analysis.plots.study import View
from evil_twins.bench.analysis.plots.style import LOOKS, Design
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.selection import Selection, selection
from evil_twins.bench.commands import app
from tests.bench.runs import mistake
from tests.pages import DOCS, blocks

pytestmark = pytest.mark.usefixtures("shared")


def _view(design: Design | None = None, choice: Selection | None = None) -> View:
    return View(design or Design("paper"), choice or Selection())


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
def test_the_numbers_are_the_drawn_lines(numbers: Analysis, name: str) -> None:
    drawn = figure(numbers, name, _view(Design()))
    order = ["line", "x", "y"]
    shown, points = (frame.sort_values(order) for frame in (drawn.numbers, _drawn(drawn)))
    assert len(shown) > 0
    assert list(shown["line"]) == list(points["line"])
    for column in ("x", "y"):
        values = (frame[column].to_numpy(dtype=float) for frame in (shown, points))
        np.testing.assert_array_equal(*values)
    assert (shown["panel"] != "").all()


def test_the_numbers_of_rates_are_those_of_the_table(numbers: Analysis) -> None:
    choice = selection(["imc", "pgd"], "curvature", "benign")
    drawn = figure(numbers, "detection", _view(choice=choice))
    assert set(drawn.numbers["panel"]) == {"κ benign"}
    assert set(drawn.numbers["detector"]) == {"curvature"}
    table = numbers.table(DETECTION).query("fpr_nominal == .05 and phi > 0")
    rates = choice.lines(table)["rate"]
    assert sorted(drawn.numbers["x"]) == pytest.approx(sorted(rates))


def test_a_sweep_keeps_its_endpoints(numbers: Analysis) -> None:
    choice = selection("imc", "confidence", 0.75)
    drawn = figure(numbers, "detection-phi", _view(choice=choice))
    assert list(drawn.numbers["x"]) == [0, 0.25, 0.5, 0.75, 1]
    assert {axes.get_title("left") for axes in drawn.axes} == {"confidence  (K0)"}


def test_letters_have_their_size_and_words_their_labels(numbers: Analysis) -> None:
    labels = Labels({"imc": "Ours"}, {"curvature": "Bend"})
    design = Design("paper", 3.3, 2.2, title=False, palette="colorblind", labels=labels)
    choice = selection("imc", "curvature", 0.75)
    drawn = figure(numbers, "detection-phi", _view(design, choice))
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


def test_export_writes_image_numbers_and_words(numbers: Analysis, tmp_path: Path) -> None:
    choice = selection("imc", "curvature", "benign")
    paths = export(numbers, ["detection-phi"], _view(choice=choice), "pdf", tmp_path)
    assert paths == [tmp_path / "detection-phi.pdf"]
    content = paths[0].read_bytes()
    assert b"/CIDFontType2" in content  # TrueType
    assert b"/Type3" not in content
    assert re.findall(rb"/MediaBox \[ 0 0 ([\d.]+)", content) == [b"237.6"]
    drawn = figure(numbers, "detection-phi", _view(choice=choice))
    stored = pd.read_csv(tmp_path / "detection-phi.csv")
    assert list(stored["y"]) == pytest.approx(list(drawn.numbers["y"]), rel=1e-5)
    assert "5 % (dotted)" in (tmp_path / "detection-phi.txt").read_text()


def test_a_figure_that_does_not_fit_is_refused(numbers: Analysis, tmp_path: Path) -> None:
    with pytest.raises(et.UserError, match=r"tradeoff: .* does not fit into 1 × 0.8 inches"):
        export(numbers, ["tradeoff"], _view(Design("paper", 1.0, 0.8)), "png", tmp_path)
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
    papers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.toml").write_text('[attacks]\nicm = "Ours"\n')
    assert said in mistake(capsys, "plot", str(papers), *words)
    assert not Path("figures").exists()


def test_a_result_draws_with_the_same_options(papers: Path) -> None:
    result = et.load(papers)
    drawn = result.plot(attacks="imc", kappa="benign", labels={"attacks": {"imc": "Ours"}})
    assert set(drawn.numbers["line"]) == {f"Ours head φ {phi}" for phi in (".25", ".5", ".75")}
    drawn.axes[0].set_xlabel("changed")
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert drawn.axes[0].get_xlabel() == "changed"
    with pytest.raises(et.UserError, match="unknown style of figures 'papper'"):
        result.plot(style="papper")
    with pytest.raises(et.UserError, match="did you mean 'attacks'"):
        result.plot(labels={"atacks": {}})


def test_the_snippet_of_the_page_works(
    papers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(DOCS / "papers.md", "python")
    place = "results/reference/quick"
    assert place in code
    exec(code.replace(place, str(papers)), {})
    assert Path("detection.pdf").read_bytes().startswith(b"%PDF")
    assert len(pd.read_csv("detection.csv")) > 0


def test_the_command_draws_for_a_paper_or_for_the_page(
    papers: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert app.main(["plot", str(papers), "detection", "--kappa", ".75", "--format", "svg"]) == 0
    assert capsys.readouterr().out == "figures/detection.svg\n"
    names = {path.name for path in Path("figures").iterdir()}
    assert names == {f"detection.{ending}" for ending in ("svg", "csv", "txt")}
