"""The page of a suite, read without a browser."""

import json
import re
import sys
from base64 import b64decode
from io import BytesIO
from math import floor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.page import content as report
from evil_twins.bench.analysis.page import matrix
from evil_twins.bench.analysis.page.facts import facts
from evil_twins.bench.analysis.page.page import write
from evil_twins.bench.analysis.page.render import render
from evil_twins.bench.analysis.stats import clopper_pearson
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from tests.bench import reported, synthetic


@pytest.fixture(autouse=True)
def page_without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip figures, which take seconds and have other tests."""
    monkeypatch.setattr("evil_twins.bench.analysis.plots.figures", lambda *_, **__: iter(()))


@pytest.fixture
def matrix_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the claims and all tables but that of the rates."""
    for module in (sys.modules["evil_twins.bench.analysis.tables.write"], report):
        monkeypatch.setattr(module, "TABLES", (DETECTION,))
    monkeypatch.setattr(report.claims, "judged", lambda *_: [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with records, their tables and their page."""
    directory = synthetic.write(tmp_path_factory.mktemp("page"), reported.frames(n=30))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evil_twins.bench.analysis.plots.figures", lambda *_, **__: iter(()))
        write(directory, "small")
    tables.write(directory)
    return directory


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


def test_the_same_records_give_the_same_bytes_in_whatever_order(page: str, tmp_path: Path) -> None:
    records = reported.frames(n=30)
    mixed = {name: frame.sample(frac=1, random_state=1) for name, frame in records.items()}
    assert reported.page(tmp_path, mixed) == page


def test_rates_are_those_of_the_tables_at_every_false_positive_rate(
    page: str, folder: Path
) -> None:
    result = reported.outline(page)
    table = pd.read_csv(folder / "tables" / "detection.csv")
    squares = reported.squares(result)
    shares = json.loads(next(text for text in result.text("script") if text.startswith("{")))
    rows = len(squares) // 2
    table = table.dropna(subset="detected")  # `any` has too few calibration scores
    for rate, part in table.groupby("fpr_nominal"):
        counted = []
        for square in squares:
            n = int(square["data-scores"])
            rank = n + 1 - floor(round((n + 1) * float(str(rate)), 9))
            counted.append(sum(int(below) >= rank for below in square["data-below"].split()))
        assert sorted(counted) == sorted(part["detected"])
        assert len(counted) == len(part) == 2 * rows
        assert {int(square["data-n"]) for square in squares} == set(part["n"])
    for line in table.itertuples():
        label, interval, _ = shares[str(line.n)][int(line.detected)]
        assert float(label) == pytest.approx(100 * line.rate, rel=5e-3)
        exact = clopper_pearson(int(line.detected), int(line.n))
        assert interval == f"{100 * exact.low:.0f}–{100 * exact.high:.0f}"


def test_downloads_are_the_tables(page: str, folder: Path) -> None:
    result = reported.outline(page)
    packed = reported.csv_files(result)
    written = {path.name: path.read_bytes() for path in (folder / "tables").glob("*.csv")}
    assert set(packed) == {*written, "claims.csv"}
    assert {name: packed[name] for name in written} == written


@pytest.mark.usefixtures("matrix_alone")
def test_every_planned_cell_is_shown_and_failures_stand_first(tmp_path: Path) -> None:
    records = reported.frames()
    scores = records["scores"]
    lost = scores["method"].eq("pgd") & scores["detector"].eq("curvature")
    records["scores"] = scores[~lost]
    page = reported.page(tmp_path, records)
    body = page.split('id="matrix"')[1].split('id="worst"')[0].split("<tbody>")[1]
    rows = body.split("<tr ")[1:]
    assert len(rows) == len(synthetic.rows((0.75,)))
    assert {row.count("<td ") for row in rows} == {1 + len(reported.DETECTORS) + 1}
    assert body.count("no scores") == 2  # the detector and, with one left, "any"
    first = page.split('id="matrix"')[0]
    assert "1 cell failed" in first
    assert "out of time" in first


def test_no_name_adds_to_the_structure_and_nothing_is_asked_for(tmp_path: Path) -> None:
    """The same elements in the same order, whatever things are called."""
    outlines = []
    for at, name in enumerate(("plain", reported.HOSTILE, "# a ## b | c | - | ")):
        directory = tmp_path / str(at)
        directory.mkdir()
        (directory / "run.json").write_text(json.dumps({"command": [name], "date": name}))
        outlines.append(
            reported.outline(reported.page(directory, reported.named(reported.frames(), name)))
        )
    shapes = [
        [(tag, *sorted(attributes)) for tag, attributes in outline.tags] for outline in outlines
    ]
    assert shapes[1] == shapes[0]
    assert shapes[2] == shapes[0]
    reported.asks_for_nothing(outlines[1])


def test_a_name_of_several_lines_is_shown_on_one(tmp_path: Path) -> None:
    page = reported.page(tmp_path, reported.named(reported.frames(), "a\n\n# b"))
    assert r"a\n\n# battack" in page
    assert not re.search(r"a\s+# b", page)


def test_optional_records_may_be_missing(tmp_path: Path) -> None:
    records = reported.frames()
    page = reported.page(tmp_path, {name: records[name] for name in ("targets", "scores")})
    assert "No cell failed" in page
    assert "run.json is missing or damaged" in page
    assert "No image is stored" in page


@pytest.mark.usefixtures("matrix_alone")
def test_what_cannot_be_read_is_explained(tmp_path: Path) -> None:
    records = reported.frames()
    records["gallery"]["original"] = b"few"
    with pytest.raises(UserError, match="original image of 'digits/0000' is damaged"):
        reported.page(tmp_path, records)
    records["targets"] = records["targets"].drop(columns="goal")
    with pytest.raises(UserError, match="lacks the columns goal"):
        reported.page(tmp_path, records)


@pytest.mark.parametrize("text", ["", "[]", '{"code": 3}', '{"machine": {"cores": "many"}}'])
def test_a_damaged_run_is_said_to_be_unknown(text: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    analysis = tables.Analysis(folder)
    ((_, said),) = [fact for fact in facts(analysis, {}, tmp_path) if fact[0] == "Run"]
    assert said == ["date, versions and machine are unknown: run.json is missing or damaged"]


def test_no_success_one_target_and_nothing_at_all(tmp_path: Path) -> None:
    records = reported.frames(n=1)
    records["targets"] = records["targets"].assign(at_kappa=False, within_eps=False)
    page = reported.page(tmp_path / "one", records)
    assert "no threshold" in page
    assert "0/1" in page
    records = {name: frame[:0] if name != "failures" else frame for name, frame in records.items()}
    assert "There are no scored attacks" in reported.page(tmp_path / "none", records)


@pytest.mark.usefixtures("matrix_alone")
def test_attacks_without_scores_have_no_line_but_are_counted(tmp_path: Path) -> None:
    records = reported.frames()
    records["scores"] = records["scores"][~records["scores"]["method"].isin(["pgd", "imc"])]
    body = reported.page(tmp_path, records).split('id="matrix"')[1].split('id="worst"')[0]
    missing = records["targets"]["method"].isin(["pgd", "imc"])
    count = len(records["targets"][missing][["attack", "kappa", "phi"]].drop_duplicates())
    assert body.count("<tr data-kappa") == len(synthetic.rows((0.75,))) - count
    assert f"{count} attacks have no scores and no line here." in body


@pytest.mark.usefixtures("matrix_alone")
def test_figures_of_any_size_share_one_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = SimpleNamespace(suffix="")
    drawn = {"roc": Figure(figsize=(9, 3)), "tradeoff": Figure(figsize=(4, 3))}
    for figure in drawn.values():
        figure.subplots()
    kinds = {kind.name: kind for kind in plots.FIGURES}
    monkeypatch.setattr(
        "evil_twins.bench.analysis.plots.figures",
        lambda *_, **__: ((study, kinds[name], figure) for name, figure in drawn.items()),
    )
    page = reported.page(tmp_path, reported.frames())
    result = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)"[^>]* width="(\d+)"', page)
    points = [re.search(rb'<svg [^>]*?width="([\d.]+)pt"', b64decode(image)) for image, _ in result]
    scales = [
        int(width) / float(match[1])
        for (_, width), match in zip(result, points, strict=True)
        if match
    ]
    assert len({width for _, width in result}) == len(scales) == 2
    assert scales[0] == pytest.approx(scales[1], rel=0.01)


def test_a_long_matrix_stays_small(folder: Path) -> None:
    content = report.content(tables.Analysis(folder), folder, "small")
    study = content["matrices"][0]
    content["matrices"] = [matrix.Matrix(study.title, study.lines * 400)]
    page = render("page.html", content | {"drawings": []})
    assert page.count('<th scope="row">') >= 400 * len(study.lines)
    assert len(page) < 5_000_000


@pytest.mark.usefixtures("matrix_alone")
def test_the_command_says_where_the_page_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(tmp_path / "small", reported.frames())
    assert app.main(["report", "small", "--results", str(tmp_path)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == tmp_path / "small" / "index.html"
    assert path.read_text().startswith("<!doctype html>")


def test_differences_of_images_are_amplified_as_is_said(page: str) -> None:
    lines = re.findall(r"(?s)<img[^>]*src=\"([^\"]*)\" alt=\"x\* − x°\"> <small>×&nbsp;(\d+)", page)
    assert lines
    assert "No image is stored" not in page
    for source, times in lines:
        image = np.asarray(Image.open(BytesIO(b64decode(source.split(",")[1]))), dtype=float)
        apart = np.abs(image / 255 - 0.5).max() / int(times)
        assert apart * int(times) <= 0.5 + 1e-9
        assert apart < 0.005 or (int(times) + 1) * apart > 0.5 - 2 / 255
