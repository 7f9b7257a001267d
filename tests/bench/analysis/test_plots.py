"""Figures from synthetic records."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.plots import (
    distributions,
    figure4,
    figure5,
    roc,
    sheet,
    style,
    sweeps,
    tradeoff,
)
from evil_twins.bench.analysis.plots.study import Study, studies
from tests.bench import claimed, controlled, synthetic

NAMES = ["detection-phi", "detection-fidelity", "tradeoff", "figure-4", "figure-5", "roc"]
NAMES += ["distributions", "images"]


@pytest.fixture(scope="module")
def study() -> Study:
    records = tables.with_any(tables.number(synthetic.frames(n=20)))
    return next(studies(records))


def test_every_figure_is_drawn_and_a_second_time_with_the_same_bytes(tmp_path: Path) -> None:
    made = synthetic.frames(n=20, kappas=(0.75,))
    made["scores"] = made["scores"][made["scores"]["detector"].eq("curvature")]
    made["gallery"] = made["gallery"][made["gallery"]["target_id"] < "digits/0002"]
    directory = synthetic.write(tmp_path, made)
    paths = plots.draw(directory)
    expected = [f"{name}.{kind}" for name in NAMES for kind in ("svg", "png")]
    assert [path.name for path in paths] == expected
    first = {path: path.read_bytes() for path in paths}
    assert b"<dc:date>" not in first[paths[0]]
    with style.look():
        one = next(studies(tables.with_any(tables.read(directory))))
        for name, make in (("tradeoff", tradeoff.draw), ("roc", roc.draw)):
            again = make(one)
            assert again is not None
            for path in style.save(again, directory / "figures", name):
                assert path.read_bytes() == first[path]


def test_figures_without_their_data_are_left_out(tmp_path: Path) -> None:
    made = synthetic.frames(n=12, kappas=(0.75,))
    made["scores"] = made["scores"][made["scores"]["detector"].eq("curvature")]
    some = {name: made[name][made[name]["method"] == "pgd"] for name in ("targets", "scores")}
    names = {path.stem for path in plots.draw(synthetic.write(tmp_path, some))}
    assert names == {"roc", "distributions"}


def test_examples_run_from_poisoning_to_pgd_at_one_kappa(study: Study) -> None:
    names = [study.name(row) for row in study.examples(3)]
    assert names == ["poisoning head κ .75 φ 0", "imc head κ .75 φ .5", "pgd κ .75 φ 1"]


def test_captions_state_what_a_reader_needs(study: Study) -> None:
    with style.look():
        made = sweeps.along_phi(study)
    assert made is not None
    words = " ".join(made._supxlabel.get_text().split())  # type: ignore[attr-defined]
    for stated in ("5 %", "n = 20 targets", "κ = .75, .9", "1 cell failed"):
        assert stated in words


@pytest.mark.parametrize(
    "make",
    [
        sweeps.along_phi,
        sweeps.along_fidelity,
        tradeoff.draw,
        figure4.draw,
        figure5.draw,
        roc.draw,
        distributions.draw,
        sheet.draw,
    ],
)
def test_no_two_titles_overlap(make: object, study: Study) -> None:
    with style.look():
        made = make(study)  # type: ignore[operator]
        assert isinstance(made, Figure)
        made.draw_without_rendering()
    texts = [axes.title for axes in made.axes] + [axes._left_title for axes in made.axes]  # type: ignore[attr-defined]
    texts += [axes.xaxis.label for axes in made.axes] + [axes.yaxis.label for axes in made.axes]
    texts += [label for axes in made.axes for label in axes.texts]
    texts += [label for legend in made.legends for label in legend.get_texts()]
    boxes = [one.get_window_extent() for one in texts if one.get_text()]
    crossing = [
        (one, two)
        for i, one in enumerate(boxes)
        for two in boxes[:i]
        if one.shrunk(0.9, 0.7).overlaps(two.shrunk(0.9, 0.7))
    ]
    assert not crossing


def test_lines_differ_without_their_colour() -> None:
    looks = style.looks(6)
    assert len({look.dash for look in looks}) == len({look.marker for look in looks}) == 6


def test_detectors_stand_by_group_with_the_or_of_all_last() -> None:
    given = ["any", "confidence", "beyond", "smoothing-gap", "manifold-l1", "curvature"]
    order = ["manifold-l1", "smoothing-gap", "curvature", "confidence", "beyond", "any"]
    assert style.detector_order(given) == order


def test_a_suite_without_scores_leaves_what_needs_none(tmp_path: Path) -> None:
    made = synthetic.frames(n=4, kappas=(0.75,))
    made["scores"] = made["scores"][:0]
    made["gallery"] = made["gallery"][made["gallery"]["target_id"] < "digits/0002"]
    names = {path.stem for path in plots.draw(synthetic.write(tmp_path, made))}
    assert names == {"tradeoff", "figure-4", "images"}


@pytest.fixture(scope="module")
def copied() -> Study:
    """A study of a copy of a data set of the paper, with rows at one κ that are no sweep."""
    return next(studies(tables.number(controlled.frames())))


def _words(made: Figure) -> str:
    return " ".join(made._supxlabel.get_text().split())  # type: ignore[attr-defined]


def test_the_papers_points_stand_unjoined_beside_the_trade_off(copied: Study) -> None:
    with style.look():
        made = figure4.draw(copied)
    assert made is not None
    (axes,) = made.axes
    points = [one for one in axes.lines if one.get_linestyle() == "None"]
    assert [len(one.get_xdata()) for one in points] == [8]  # type: ignore[arg-type]
    words = _words(made)
    assert "GTSRB (other copy, resnet18)" in words
    assert "between 0 and 0.63 (κ .75), 0.64 (κ .9) they hold no point" in words
    assert "0.19 (κ .9) is out of sequence" in words


def test_without_points_of_the_paper_the_figures_say_so(study: Study) -> None:
    with style.look():
        four, five = figure4.draw(study), figure5.draw(study)
    assert four is not None
    assert five is not None
    assert "does not study this data set" in _words(four)
    assert "no points for this data set" in _words(five)


def test_detection_in_three_readings(copied: Study) -> None:
    with style.look():
        made = figure5.draw(copied)
    assert made is not None
    titles = [axes.get_title(loc="left") for axes in made.axes if axes.get_title(loc="left")]
    assert titles == [*figure5.DETECTORS, "KS, curvature"]
    measure = made.axes[titles.index("KS, curvature")]
    theirs = [one for one in measure.lines if one.get_marker() == "x"]
    assert list(theirs[0].get_ydata())[-1] == 0.899  # type: ignore[arg-type]
    assert "a mean change of confidence, is not stored" in _words(made)


def test_the_loss_of_confidence_has_a_panel_where_it_is_stored(copied: Study) -> None:
    rows = [row for one in copied.families for row, _ in one.line()]
    falls = {"manifold": 0.5, "smoothing-gap": 0.1}
    known = [{"row": row, "detector": name, "fall": y} for row in rows for name, y in falls.items()]
    with style.look():
        made = figure5.draw(replace(copied, outcomes=pd.DataFrame(known)))
    assert made is not None
    (panel,) = (axes for axes in made.axes if axes.get_title(loc="left") == "loss of confidence")
    heights = {line.get_marker(): list(line.get_ydata()) for line in panel.lines}  # type: ignore[arg-type]
    assert heights["x"][0] == 0.787
    assert heights["+"][-1] == 0.122
    own = [line for line in panel.lines if line.get_marker() not in ("x", "+")]
    assert {y for line in own for y in line.get_ydata()} == {0.5, 0.1}  # type: ignore[union-attr]
    assert "is not stored" not in _words(made)


def test_a_rate_without_a_threshold_is_not_drawn() -> None:
    made = claimed.frames(claimed.World(n=20, kappas=(0.75,)))
    one = next(studies(tables.number(made)))
    with style.look():
        drawn = figure5.draw(one)
    assert drawn is not None
    hollow = [line for line in drawn.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert all(np.isnan(line.get_ydata()).all() for line in hollow)  # type: ignore[arg-type]


def test_what_was_never_moved_differs_by_nothing() -> None:
    levels = np.arange(12, dtype=np.uint8).reshape(3, 2, 2) * 21
    moved = (levels / np.float32(255)).astype("<f4")
    line = {"target_id": "a", "shape": "3,2,2", "original": levels.tobytes()}
    original, x = sheet.pair(line | {"attacked": moved.tobytes()})
    assert (original == x).all()
    assert sheet.gain([(original, x)]) == 1
