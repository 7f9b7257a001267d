"""Several suites on one page."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.page import page as single_page
from evil_twins.bench.analysis.page.comparison import _file_name
from evil_twins.bench.analysis.page.comparison import write as several
from evil_twins.bench.analysis.tables import any_of
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.commands import app
from tests.bench import reported, synthetic

Frames = dict[str, pd.DataFrame]


def _other(n: int = 14) -> Frames:
    """Return a second victim on the first n targets, at one κ more; scores are other draws."""
    return _with(reported.frames(n=n, kappas=(0.75, 0.9)), seed=1)


def _with(stored: Frames, **values: object) -> Frames:
    """Return the records with other values in these columns, wherever a record holds them."""
    return {
        part: frame.assign(**{name: v for name, v in values.items() if name in frame.columns})
        for part, frame in stored.items()
    }


def test_long_names_of_suites_give_a_name_that_a_file_may_have(tmp_path: Path) -> None:
    names = ["a" * 200, "a" * 198 + "é", "b"]
    short, long = _file_name(["b", "c"]), [_file_name([names[0], name]) for name in names]
    assert short == "b+c"
    assert len(set(long)) == 3
    assert all(len(name.encode()) < 200 for name in long)


def _page(folder: Path, *suites: Frames) -> str:
    names = "abc"[: len(suites)]
    for name, stored in zip(names, suites, strict=True):
        synthetic.write(folder / name, stored)
    path = several([folder / name for name in names])
    assert path == folder / f"{'+'.join(names)}.html"
    return path.read_text(encoding="utf-8")


def _csv(page: str, name: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(reported.csv_files(reported.outline(page))[name]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two suites, which share 14 targets, and their page."""
    folder = tmp_path_factory.mktemp("suites")
    for name, torch in (("a", "2.6"), ("b", "2.9")):
        (folder / name).mkdir()
        run = {"date": "2026-01-01", "code": {"packages": {"torch": torch}}}
        (folder / name / "run.json").write_text(json.dumps(run))
    other = _other()
    other["failures"] = other["failures"][:0]
    _page(folder, reported.frames(n=20), other)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "a+b.html").read_text(encoding="utf-8")


def test_differences_are_those_counted_on_the_shared_targets(folder: Path, page: str) -> None:
    table = _csv(page, "differences.csv")
    assert len(table) == 5 * 2  # attacks at κ .75, detectors; `any` has no rate
    assert set(table["n"]) == {14}
    assert "Targets in both: 14." in page
    flagged = []
    for name in "ab":
        analysis = tables.Analysis(folder / name)
        decided = analysis.decisions.join(analysis.records.rows, on="row")
        flagged.append(decided[decided["kappa"].eq(0.75)])
    both = flagged[0].merge(flagged[1], on=["attack", "phi", "detector", "target_id"])
    for line in table.itertuples():
        pairs = both[both["attack"].eq(line.attack) & both["phi"].eq(line.phi)]
        pairs = pairs[pairs["detector"].eq(line.detector)]
        first, second = pairs["flagged_x"].astype(bool), pairs["flagged_y"].astype(bool)
        assert line.only == (first & ~second).sum()
        assert line.only_other == (second & ~first).sum()
        assert line.difference == pytest.approx(first.mean() - second.mean(), abs=1e-6)
        assert line.low < line.difference < line.high
        assert line.p <= line.p_holm <= 1


def test_a_difference_that_is_sure_is_marked(tmp_path: Path) -> None:
    loud = _other(n=20)
    attacked = loud["scores"]["role"].eq("attacked") & loud["scores"]["detector"].eq("confidence")
    loud["scores"].loc[attacked, "score"] = 99.0
    page = _page(tmp_path, reported.frames(n=20), loud)
    table = _csv(page, "differences.csv")
    sure = int((table["p_holm"] < 0.05).sum())
    assert 0 < sure < len(table)
    said = page.count('<span class="unseen">significant</span>')
    assert page.count('class="square significant"') == said
    assert page.count('class="square significant"') == sure
    assert f"Significant differences: {sure} of {len(table)}." in page


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"dataset": "gtsrb"}, "the data sets differ"),
        ({"goal": 11}, "no target, an image with its goal class, is in both"),
        ({"layers": "all"}, "no attack has the same name, layers, κ, φ and λ in both"),
        ({"detector": "mine"}, "no detector scored the same attack on the same targets"),
    ],
)
def test_why_nothing_can_be_paired_is_said(
    values: dict[str, object], why: str, tmp_path: Path
) -> None:
    stored = reported.frames()
    stored["scores"] = stored["scores"][stored["scores"]["detector"].eq("confidence")]
    page = _page(tmp_path, stored, _with(stored, **values))
    assert f"Nothing can be paired: {why}" in page
    assert "differences.csv" not in page


@pytest.mark.parametrize(("content", "is_paired"), [("", True), ("f" * 64, False)])
def test_two_images_of_one_name_are_not_paired(
    content: str, is_paired: bool, tmp_path: Path
) -> None:
    stored = reported.frames()
    other = stored | {"targets": stored["targets"].assign(content=content)}
    page = _page(tmp_path, stored, other)
    assert ("differences.csv" in page) == is_paired
    words = "Nothing can be paired: no target, an image with its goal class, is in both"
    assert (words in page) == (not is_paired)


def test_any_is_paired_only_among_the_same_detectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(any_of, "CALIBRATION", 1)
    more = _with(synthetic.frames(n=14, kappas=(0.75,)), seed=1)
    page = _page(tmp_path / "same", reported.frames(), _with(reported.frames(), seed=1))
    assert set(_csv(page, "differences.csv")["detector"]) == {*reported.DETECTORS, "any"}
    page = _page(tmp_path, reported.frames(), more)
    assert set(_csv(page, "differences.csv")["detector"]) == set(reported.DETECTORS)
    assert "manifold-l1" in page.split('id="matrix"')[1].split('id="differences"')[0]


def test_the_matrices_hold_the_rates_of_each_suite(folder: Path, page: str) -> None:
    squares = reported.squares(reported.outline(page))
    rates = _csv(page, "rates.csv")
    rates = rates.dropna(subset="detected")  # `any` has too few calibration scores
    assert len(squares) == len(rates)
    assert sorted(int(square["data-k"]) for square in squares) == sorted(rates["detected"])
    for name in "ab":
        table_of_suite = tables.Analysis(folder / name).table(DETECTION)
        table_of_suite = pd.read_csv(io.BytesIO(csv(table_of_suite)))
        table_of_suite = table_of_suite[table_of_suite["fpr_nominal"].eq(0.05)]
        table_of_suite = table_of_suite.dropna(subset="detected")
        keys = ["attack", "kappa", "phi", "detector"]
        both = rates[rates["suite"].eq(name)].merge(table_of_suite, on=keys)
        assert len(both) == len(table_of_suite)
        for column in ("n", "detected", "rate", "low", "high"):
            assert both[f"{column}_x"].tolist() == both[f"{column}_y"].tolist()


def test_what_was_run_and_what_failed_stand_side_by_side(page: str) -> None:
    first = page.split('id="matrix"')[0]
    for said in ("seed 0: test accuracy 97.5 %", "torch 2.6", "torch 2.9", "n = 20", "n = 14"):
        assert said in first
    assert "1 cell failed" in first
    assert "out of time" in first
    assert "No cell failed" in first


def test_every_two_of_three_are_paired(tmp_path: Path) -> None:
    stored = reported.frames()
    page = _page(tmp_path, stored, _with(stored, seed=1), _with(stored, seed=2))
    sides = _csv(page, "differences.csv")[["suite", "other_suite"]].drop_duplicates()
    assert sides.to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]


def test_the_same_records_give_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    stored, other = reported.frames(), _other()
    mixed = {name: frame.sample(frac=1, random_state=1) for name, frame in stored.items()}
    assert _page(tmp_path / "x", stored, other) == _page(tmp_path / "y", mixed, other)


def test_no_name_adds_to_the_structure_and_nothing_is_asked_for(tmp_path: Path) -> None:
    shapes = []
    for at, name in enumerate(("plain", reported.HOSTILE)):
        stored = reported.named(reported.frames(), name)
        result = reported.outline(_page(tmp_path / str(at), stored, _with(stored, seed=1)))
        reported.asks_for_nothing(result)
        shapes.append([(tag, *sorted(attributes)) for tag, attributes in result.tags])
    assert shapes[0] == shapes[1]


def test_one_target_no_success_controls_alone_and_nothing_at_all(tmp_path: Path) -> None:
    single = _with(reported.frames(n=1), at_kappa=False)
    page = _page(tmp_path / "one", single, _with(single, seed=1))
    assert "Targets in both: 1. Significant differences: 0 of 10." in page
    stored = reported.frames()
    control = {
        name: frame[frame["method"].eq("untouched")] if "method" in frame else frame
        for name, frame in stored.items()
    }
    page = _page(tmp_path / "controls", stored, control)
    assert "no two of these suites hold attacks" in page
    none = {name: frame[:0] for name, frame in stored.items()}
    page = _page(tmp_path / "none", none, none)
    assert "There are no scored attacks" in page


def test_the_command_says_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(single_page, "write", lambda directory, *_: directory / "index.html")
    for name in "ab":
        synthetic.write(tmp_path / name, reported.frames())
    assert app.main(["report", "a", "b", "--results", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "a+b.html"
    assert not list(tmp_path.glob("*/index.html"))
    assert app.main(["report", "a", "a", "--results", str(tmp_path)]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "a" / "index.html"
    assert app.main(["report", "a", "nowhere", "--results", str(tmp_path)]) == 2
