"""Figures from synthetic records."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.plots import figure4, figure5, sheet, style, sweeps
from evil_twins.bench.analysis.plots.study import Study, studies
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.compare import detector
from tests.bench import claimed, controlled, synthetic

NAMES = [
    "detection",
    "detection-phi",
    "detection-fidelity",
    "tradeoff",
    "figure-4",
    "figure-5",
    "roc",
]
NAMES += ["distributions", "images"]


@pytest.fixture(scope="module")
def study() -> Study:
    frames = synthetic.frames(n=20)
    frames["gallery"] = frames["gallery"][frames["gallery"]["target_id"] < "digits/0003"]
    return next(studies(Analysis(tables.number(frames))))


def _small(n: int) -> dict[str, pd.DataFrame]:
    """Return records of one detector, κ and two images."""
    frames = synthetic.frames(n=n, kappas=(0.75,))
    frames["scores"] = frames["scores"][frames["scores"]["detector"].eq("curvature")]
    frames["gallery"] = frames["gallery"][frames["gallery"]["target_id"] < "digits/0002"]
    return frames


def test_a_sweep_without_scores_has_no_line_and_no_name(study: Study) -> None:
    frames = synthetic.frames(n=20)
    frames["scores"] = frames["scores"][frames["scores"]["kappa"].ne(0.9)]
    unscored = next(studies(Analysis(tables.number(frames))))
    for drawn, words in ((study, {"imc κ .75", "imc κ .9"}), (unscored, {"imc κ .75"})):
        legends = _draw(sweeps.along_phi, drawn).legends
        assert {text.get_text() for legend in legends for text in legend.get_texts()} == words


def test_every_figure_is_drawn_and_a_second_time_with_the_same_bytes(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path, _small(20))
    paths = plots.draw(directory)
    expected = [f"{name}.{kind}" for kind in ("svg", "png", "csv") for name in NAMES]
    assert [path.name for path in paths] == expected
    first = {path: path.read_bytes() for path in paths}
    assert b"<dc:date>" not in first[paths[0]]
    (directory / "derived.json").unlink()
    again = plots.draw(directory, formats=["svg"])
    assert [path.read_bytes() for path in again] == [first[path] for path in paths[: len(NAMES)]]


def test_figures_are_kept_and_another_rate_has_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "FIGURES", [kind for kind in plots.FIGURES if kind.name == "roc"])
    directory = synthetic.write(tmp_path, _small(12))
    first = [path.read_bytes() for path in plots.draw(directory)]
    strict = plots.draw(directory, fpr=0.01)
    assert [path.parent for path in strict] == [directory / "fpr-0.01" / "figures"] * 3
    assert b"".join(path.read_bytes() for path in strict) != b"".join(first)
    (directory / "derived.json").unlink()
    assert [path.read_bytes() for path in plots.draw(directory)] == first
    monkeypatch.setattr(plots, "FIGURES", ())
    assert [path.read_bytes() for path in plots.draw(directory)] == first


def test_figures_without_their_data_are_left_out(tmp_path: Path) -> None:
    frames = _small(12)
    pgd = {name: frames[name][frames[name]["method"] == "pgd"] for name in ("targets", "scores")}
    names = {path.stem for path in plots.draw(synthetic.write(tmp_path, pgd), formats=["svg"])}
    assert names == {"detection", "roc", "distributions"}


def test_examples_run_from_poisoning_to_pgd_at_one_kappa(study: Study) -> None:
    names = [study.name(row) for row in study.examples(3)]
    assert names == ["poisoning head κ .75 φ 0", "imc head κ .75 φ .5", "pgd κ .75 φ 1"]


def test_captions_state_what_a_reader_needs(study: Study) -> None:
    caption = _caption(_draw(sweeps.along_phi, study))
    for words in ("5 %", "n = 20 targets", "κ = .75, .9", "1 cell failed"):
        assert words in caption


def test_a_caption_states_no_kappa_where_no_attack_has_one() -> None:
    frames = synthetic.frames(n=20)
    for name in ("targets", "scores", "flips"):
        frames[name] = frames[name][frames[name]["kappa"].eq(0.75)].assign(kappa=np.nan)
    (drawn,) = studies(Analysis(tables.number(frames)))
    assert "κ" not in drawn.footer()
    assert drawn.footer().startswith("n = 20 targets,")


def _draw(kind: Callable[[Study], Figure | None], study: Study) -> Figure:
    with style.PAGE.settings():
        drawn = kind(study)
    assert drawn is not None
    return drawn


def _caption(drawn: Figure) -> str:
    return " ".join(drawn._supxlabel.get_text().split())  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_titles_overlap(name: str, study: Study) -> None:
    (kind,) = (kind for kind in plots.FIGURES if kind.name == name)
    drawn = _draw(kind.draw, study)
    drawn.draw_without_rendering()
    texts = [axes.title for axes in drawn.axes] + [axes._left_title for axes in drawn.axes]  # type: ignore[attr-defined]
    texts += [axes.xaxis.label for axes in drawn.axes] + [axes.yaxis.label for axes in drawn.axes]
    texts += [label for axes in drawn.axes for label in axes.texts]
    texts += [label for legend in drawn.legends for label in legend.get_texts()]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    crossing = [
        (first, second)
        for i, first in enumerate(boxes)
        for second in boxes[:i]
        if first.shrunk(0.9, 0.7).overlaps(second.shrunk(0.9, 0.7))
    ]
    assert not crossing


def test_lines_differ_without_their_colour() -> None:
    looks = style.LOOKS
    assert len({look.dash for look in looks}) == len({look.marker for look in looks}) == 6


def test_detectors_stand_by_group_with_the_or_of_all_last() -> None:
    names = ["any", "confidence", "beyond", "smoothing-gap", "manifold-l1", "curvature"]
    order = ["manifold-l1", "smoothing-gap", "curvature", "confidence", "beyond", "any"]
    assert style.detector_order(names) == order


def test_a_suite_without_scores_leaves_what_needs_none(tmp_path: Path) -> None:
    frames = _small(4)
    frames["scores"] = frames["scores"][:0]
    directory = synthetic.write(tmp_path, frames)
    names = {path.stem for path in plots.draw(directory, formats=["svg"])}
    assert names == {"tradeoff", "figure-4", "images"}


@pytest.fixture(scope="module")
def copied() -> Study:
    """Return a study of a copy of a data set of the paper, with rows at one κ that are no sweep."""
    return next(studies(Analysis(tables.number(controlled.frames()), add_any=False)))


def test_the_papers_points_stand_unjoined_beside_the_trade_off(copied: Study) -> None:
    drawn = _draw(figure4.draw, copied)
    (axes,) = drawn.axes
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in points] == [8]  # type: ignore[arg-type]
    words = _caption(drawn)
    assert "GTSRB (other copy, resnet18)" in words
    assert "between 0 and 0.63 (κ .75), 0.64 (κ .9) they hold no point" in words
    assert "0.19 (κ .9) is out of sequence" in words


def test_without_points_of_the_paper_the_figures_say_so(study: Study) -> None:
    assert "does not study this data set" in _caption(_draw(figure4.draw, study))
    assert "no points for this data set" in _caption(_draw(figure5.draw, study))


def test_detection_in_three_readings(copied: Study) -> None:
    drawn = _draw(figure5.draw, copied)
    titles = [axes.get_title(loc="left") for axes in drawn.axes if axes.get_title(loc="left")]
    assert titles == [*figure5.DETECTORS, "KS, curvature"]
    panel = drawn.axes[titles.index("KS, curvature")]
    points = [line for line in panel.lines if line.get_marker() == "x"]
    assert list(points[0].get_ydata())[-1] == 0.899  # type: ignore[arg-type]
    assert "a mean change of confidence, is not stored and has no panel" in _caption(drawn)


def test_the_loss_of_confidence_has_a_panel_where_it_is_stored(copied: Study) -> None:
    rows = [row for family in copied.families for row, _ in family.line()]
    falls = {"manifold": 0.5, "smoothing-gap": 0.1}
    table = [{"row": row, "detector": name, "fall": y} for row in rows for name, y in falls.items()]
    study = Study(copied.analysis, copied.rows)
    vars(study)["outcomes"] = pd.DataFrame(table)
    drawn = _draw(figure5.draw, study)
    (panel,) = (axes for axes in drawn.axes if axes.get_title(loc="left") == "loss of confidence")
    heights = {line.get_marker(): list(line.get_ydata()) for line in panel.lines}  # type: ignore[arg-type]
    assert heights["x"][0] == 0.787
    assert heights["+"][-1] == 0.122
    measured = [line for line in panel.lines if line.get_marker() not in ("x", "+")]
    assert {y for line in measured for y in line.get_ydata()} == {0.5, 0.1}  # type: ignore[union-attr]
    assert "has no panel" not in _caption(drawn)


def test_a_rate_without_a_threshold_is_not_drawn() -> None:
    records = tables.number(claimed.frames(claimed.World(n=20, kappas=(0.75,))))
    drawn = _draw(figure5.draw, next(studies(Analysis(records, add_any=False))))
    hollow = [line for line in drawn.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert all(np.isnan(line.get_ydata()).all() for line in hollow)  # type: ignore[arg-type]


def test_what_was_never_moved_differs_by_nothing() -> None:
    levels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) * 21
    moved = (levels / np.float32(255)).astype("<f4")
    line = {"target_id": "a", "shape": "3,2,2", "original": levels.tobytes()}
    original, x = sheet.pair(line | {"attacked": moved.tobytes()})
    assert (original == x).all()
    assert sheet.gain([(original, x)]) == 1


def test_a_comparison_at_another_rate_leaves_that_at_the_default(tmp_path: Path) -> None:
    directory = synthetic.write(tmp_path, _small(6))
    costs = pd.DataFrame(columns=[*tables.KEYS, "detector", "seconds", "inputs"])
    selection = tables.Selection(("curvature",), ("confidence",))
    for fpr in (0.05, 0.01):
        analysis = Analysis(directory, fpr, add_any=False)
        plots.compare(directory, detector.numbers(analysis, costs, selection))
    drawn = directory.rglob("detection-phi.*")
    assert {path.relative_to(directory).as_posix() for path in drawn} == {
        f"{folder}figures/detection-phi.{kind}"
        for folder in ("", "fpr-0.01/")
        for kind in ("svg", "png", "csv")
    }
