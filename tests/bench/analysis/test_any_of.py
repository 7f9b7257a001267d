"""The OR of all detectors keeps its total false-positive rate; from 200 scores on it has a rate."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rich.console import Console

from evil_twins.bench.analysis import plots, stats, tables
from evil_twins.bench.analysis.page.limits import Limits
from evil_twins.bench.analysis.tables import Analysis, any_of
from evil_twins.bench.analysis.tables.calibration import CALIBRATION
from evil_twins.bench.analysis.tables.decisions import Benign
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.paired import PAIRED, WORST
from tests.bench import reported, synthetic

NEEDS = "needs 200 calibration scores"
OF_RATES = ["detected", "rate", "low", "high", "success", "fpr_k", "fpr_realised", "fpr_p"]
SCORED = ["n", "at_kappa", "calibration_n", "auroc", "auroc_low", "auroc_high", "ks"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.write(tmp_path_factory.mktemp("any") / "small", reported.frames(n=20))


@pytest.fixture
def analysis(directory: Path) -> Analysis:
    return Analysis(directory)


@pytest.fixture
def enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few calibration scores be enough."""
    monkeypatch.setattr(any_of, "CALIBRATION", 15)


def _of_any(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["detector"].eq(any_of.NAME)]


def _shown(directory: Path, fpr: float = 0.05) -> str:
    stream = io.StringIO()
    Console(file=stream, width=300).print(tables.show(directory, fpr))
    return stream.getvalue()


@given(
    arrays.arrays(
        float,
        st.tuples(st.integers(3, 30), st.integers(2, 4)),
        elements=st.floats(-5, 5).map(lambda value: round(value, 3)),
    ),
    st.sampled_from([0.05, 0.1, 0.25, 0.5]),
)
def test_of_inputs_that_take_turns_the_nominal_share_is_flagged(
    scores: stats.Floats, alpha: float
) -> None:
    """Of n + 1 benign inputs each is once the fresh one: at most (n + 1) alpha are flagged."""
    flagged, values, equal = 0, set(), False
    for index, fresh in enumerate(scores):
        benign, (value,) = any_of.loudest(np.delete(scores, index, 0), fresh[None])
        flagged += bool(value > stats.threshold(benign, alpha).value)
        values.add(_value(scores, index))
        equal |= len(set(benign)) < len(benign)
    most = np.floor(round(len(scores) * alpha, 9))
    equal |= len(values) < len(scores)
    assert flagged <= most if equal else flagged == most


def _value(scores: stats.Floats, index: int) -> float:
    """The largest score of one input, in units of all of them."""
    centre, high = np.median(scores, 0), np.quantile(scores, 0.95, 0)
    scale = np.where(high > centre, high - centre, np.abs(scores - centre).max(0))
    scaled = (scores[index] - centre) / np.where(scale > 0, scale, 1.0)
    return float(scaled.max())


def test_an_input_is_ranked_in_units_of_which_it_is_a_part() -> None:
    rng = np.random.default_rng(5)
    scores, others = rng.normal(size=(30, 3)), 2 * rng.normal(size=(40, 3))
    benign, values = any_of.loudest(scores, others)
    for other, value in zip(others, values, strict=True):
        together = np.vstack([scores, other])
        among = [_value(together, index) for index in range(31)]
        assert (benign < value).sum() == sum(rank < among[-1] for rank in among[:-1])


def test_few_scores_do_not_raise_the_total_rate() -> None:
    """A threshold in units of the calibration images without the fresh one flags more."""
    rng = np.random.default_rng(6)
    kept, naive = [], []
    for _ in range(400):
        scores = rng.standard_t(3, (20 + 50, 8))
        benign, values = any_of.loudest(scores[:20], scores[20:])
        kept.append(values > stats.threshold(benign, 0.05).value)
        centre, high = np.median(scores[:20], 0), np.quantile(scores[:20], 0.95, 0)
        values_alone = ((scores - centre) / (high - centre)).max(1)
        naive.append(values_alone[20:] > stats.threshold(values_alone[:20], 0.05).value)
    assert np.mean(kept) <= 0.055
    assert np.mean(naive) > 0.06


def test_two_hundred_scores_are_enough(analysis: Analysis) -> None:
    cell = next(cell for cell in analysis.cells.values() if cell.detector == any_of.NAME)
    for size in (0, 199, 200, 201):
        zeros = np.zeros(size)
        benign = Benign(zeros, zeros, zeros.astype(np.intp))
        assert replace(cell, calibration=benign).has_rate == (size >= 200)
        assert replace(cell, calibration=benign, detector="confidence").has_rate


def test_without_a_rate_the_tables_hold_the_auroc(analysis: Analysis) -> None:
    lines = _of_any(analysis.table(DETECTION))
    assert lines[OF_RATES].isna().all(axis=None)
    assert lines[SCORED].notna().all(axis=None)
    assert lines["note"].eq(NEEDS).all()
    others = analysis.table(DETECTION).drop(lines.index)
    assert others[OF_RATES[:4]].notna().all(axis=None)
    for table in (PAIRED, WORST):
        assert len(analysis.table(table))
        assert _of_any(analysis.table(table)).empty
    assert _of_any(analysis.table(CALIBRATION))["fpr_k"].isna().all()
    content = tables.files(analysis)
    area = lines.loc[lines["method"].eq("pgd"), "auroc"].iloc[0]
    (line,) = [
        line
        for line in content["detection.md"].decode().splitlines()
        if line.startswith("| pgd κ .75")
    ]
    assert f"{NEEDS}; AUROC {area:.2g}" in line
    assert f"| any | 0.05 | {NEEDS} |" in content["calibration.md"].decode()


@pytest.mark.usefixtures("enough")
def test_with_a_rate_the_tables_hold_both(analysis: Analysis) -> None:
    lines = _of_any(analysis.table(DETECTION))
    assert lines[OF_RATES[:4]].notna().all(axis=None)
    for table in (PAIRED, WORST):
        assert len(_of_any(analysis.table(table)))
    text = tables.files(analysis)["detection.md"].decode()
    assert "; AUROC 0." in text
    assert f"{NEEDS}; AUROC" not in text


def test_the_terminal_shows_the_auroc(directory: Path, analysis: Analysis) -> None:
    lines = _of_any(analysis.table(DETECTION))
    area = lines.loc[lines["method"].eq("pgd"), "auroc"].iloc[0]
    for fpr in (0.05, 0.06):
        shown = _shown(directory, fpr)
        assert f".93 its AUROC: a rate {NEEDS}" in shown
        (line,) = [line for line in shown.splitlines() if line.startswith("pgd κ .75")]
        assert line.split()[6] == f"{area:.2f}"[1:]
    tables.write(directory)  # from the stored tables
    assert _shown(directory) == _shown_anew(directory)


def _shown_anew(directory: Path) -> str:
    (directory / "derived.json").unlink()
    return _shown(directory)


@pytest.mark.usefixtures("enough")
def test_the_terminal_shows_the_rate(directory: Path) -> None:
    assert "its AUROC" not in _shown(directory, 0.06)


def _page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> reported.Outline:
    monkeypatch.setattr(plots, "FIGURES", ())
    return reported.outline(reported.page(folder, reported.frames(n=20)))


def test_no_slider_of_the_page_makes_a_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _page(tmp_path, monkeypatch)
    rows = len(synthetic.rows((0.75,)))
    assert len(reported.squares(result)) == len(reported.DETECTORS) * rows
    assert result.text("small").count(NEEDS) == rows + 1  # and the worst case
    assert sum(words.startswith("AUROC 0.") for words in result.text("b")) == rows
    ranks = [cell for cell in result.find("td") if "data-rank" in cell]
    lacking = [cell for cell in ranks if cell["data-limits"] == str(Limits().none)]
    assert len(lacking) == len(ranks) / 3
    assert {cell["data-rank"] for cell in lacking} == {"0"}


@pytest.mark.usefixtures("enough")
def test_the_page_shows_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = _page(tmp_path, monkeypatch)
    rows = len(synthetic.rows((0.75,)))
    assert len(reported.squares(result)) == (len(reported.DETECTORS) + 1) * rows
    assert sum(words.startswith("AUROC") for words in result.text("small")) == rows


def test_the_figure_draws_the_auroc(analysis: Analysis) -> None:
    ((_, _, figure),) = plots.figures(analysis, "detection-phi")
    (panel,) = [axes for axes in figure.axes if axes.get_title("left").startswith("any")]
    assert panel.get_title("left").endswith(": AUROC")
    drawn = max((line.get_ydata() for line in panel.get_lines()), key=len)
    lines = _of_any(analysis.table(DETECTION))
    lines = lines[lines["fpr_nominal"].eq(0.05) & lines["phi"].notna()].sort_values("phi")
    assert np.asarray(drawn, dtype=float) == pytest.approx(lines["auroc"].to_numpy(), abs=1e-9)
    assert NEEDS in " ".join(" ".join(text.get_text() for text in figure.texts).split())


@pytest.mark.usefixtures("enough")
def test_the_figure_draws_the_rate(analysis: Analysis) -> None:
    ((_, _, figure),) = plots.figures(analysis, "detection-phi")
    assert not [axes for axes in figure.axes if axes.get_title("left").endswith("AUROC")]
