"""The summary on the page, its columns and the names of classes."""

import re
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import plots, stats, tables
from evil_twins.bench.analysis.page import gallery
from evil_twins.bench.analysis.page.classes import Names, published
from evil_twins.bench.analysis.page.columns import Column, columns
from evil_twins.bench.analysis.page.glossary import words
from evil_twins.bench.analysis.page.ranks import ranks
from evil_twins.bench.analysis.page.summary import Share, summaries
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.subjects.sets import gtsrb, isic2018
from tests.bench import populations, reported, synthetic

ROOT = Path(__file__).parents[3]
SINGLE, SEVERAL = "detection", "population"


@pytest.fixture(scope="module", params=[SINGLE, SEVERAL])
def table(request: pytest.FixtureRequest) -> str:
    """Return the table of one victim, and that of several."""
    return str(request.param)


@pytest.fixture(scope="module")
def folder(table: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with records and tables of one victim or of several."""
    directory = tmp_path_factory.mktemp(table)
    frames = synthetic.frames(n=30) if table == SINGLE else populations.frames()
    synthetic.write(directory, frames)
    tables.write(directory)
    return directory


def _lines(folder: Path, table: str) -> pd.DataFrame:
    """Return the rates of attacks at the highest κ and a false-positive rate of 5 %."""
    lines = pd.read_csv(folder / "tables" / f"{table}.csv")
    lines = lines[lines["fpr_nominal"].eq(0.05) & lines["kappa"].eq(lines["kappa"].max())]
    return lines[lines["detector"].ne("any")]


def _written(rate: float, low: float, high: float) -> str:
    return f"{100 * rate:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def test_the_best_on_the_hardest_attack_is_that_of_the_csv(folder: Path, table: str) -> None:
    (summary,) = summaries(Analysis(folder))
    lines = _lines(folder, table)
    methods = {"only the input": "pgd", "only the model": "poisoning", "both": "imc"}
    assert [best.moves for best in summary.best] == list(methods)
    for best in summary.best:
        part = lines[lines["method"].eq(methods[best.moves])]
        lowest = part.groupby("detector")["rate"].min()
        share = best.share
        assert lowest[share.detector] == lowest.max()
        line = part[part["detector"].eq(share.detector)].sort_values(["rate", "phi"]).iloc[0]
        assert share.words == _written(line["rate"], line["low"], line["high"])
        assert share.flagged == line["detected"]
    assert (summary.attacks, summary.detectors) == (5, 6)
    assert summary.targets == str(lines["n"].iloc[0])


def test_the_worst_case_is_that_of_the_csv(folder: Path, table: str) -> None:
    (summary,) = summaries(Analysis(folder))
    worst = pd.read_csv(folder / "tables" / "worst.csv")
    worst = worst[worst["kappa"].eq(worst["kappa"].max()) & worst["detector"].ne("any")]
    caught = worst.groupby("detector")[["caught", "n"]].sum()
    assert summary.worst is not None
    assert summary.worst.flagged == caught["caught"].max()
    assert summary.baseline is not None
    for share in (summary.worst, summary.baseline):
        assert share.flagged == caught.loc[share.detector, "caught"]
        cells = worst[worst["detector"].eq(share.detector)]
        rate = tuple(cells[["rate", "low", "high"]].iloc[0])
        if table == SEVERAL:
            counts = (cells[name].to_numpy(dtype=float) for name in ("caught", "n"))
            rate = tuple(stats.pooled_rate(*counts).rate)
        assert share.words == _written(*rate)


def test_false_alarms_are_those_of_the_detectors_in_the_sentence(folder: Path, table: str) -> None:
    (summary,) = summaries(Analysis(folder))
    names = {best.share.detector for best in summary.best}
    lines = _lines(folder, table)
    alarms = lines.loc[lines["detector"].isin(names), "fpr_realised"]
    low, high = (float(summary.alarms[place]) for place in (0, -1))
    assert round(100 * alarms.min()) <= low <= high <= round(100 * alarms.max())


def test_without_rates_there_is_no_summary(tmp_path: Path) -> None:
    frames = synthetic.frames(n=2)
    controls = frames["scores"]["method"].eq("untouched")
    frames["scores"] = frames["scores"][controls]
    assert list(summaries(Analysis(synthetic.write(tmp_path, frames)))) == []


def test_the_page_says_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "FIGURES", ())
    page = reported.page(tmp_path, reported.frames(n=20))
    (summary,) = summaries(Analysis(tmp_path))
    said = page.split('id="summary"')[1].split("</section>")[0]
    shares = [best.share for best in summary.best]
    assert summary.worst is not None
    assert summary.baseline is not None
    surpassed = summary.worst.flagged > summary.baseline.flagged
    shares += [summary.worst, summary.baseline] if surpassed else [summary.baseline]
    assert re.findall(r'class="rate".*?>([^<]*)<', said) == [_page(share) for share in shares]
    assert "for this model only" in said


def _page(share: Share) -> str:
    return share.words.replace(" %", "\N{NO-BREAK SPACE}%")


def test_the_baseline_is_first_and_variants_follow_their_family() -> None:
    names = ["any", "curvature-adjusted", "smoothing-gap", "curvature", "energy", "confidence"]
    assert columns([*names, "# a - b"]) == [
        Column("confidence", "confidence", 0, False),
        Column("smoothing-gap", "smoothing", 0, False),
        Column("curvature", "curvature", 1, False),
        Column("curvature-adjusted", "curvature", 0, True),
        Column("# a - b", "# a - b", 0, False),
        Column("energy", "energy", 0, False),
        Column("any", "any", 0, False),
    ]


def test_published_classes_have_the_order_of_the_readers() -> None:
    assert len(published()["gtsrb"]) == len(gtsrb.CLASSES)
    assert [name[0].upper() for name in published()["isic2018"]][:3] == [
        name[0] for name in isic2018.CLASSES[:3]
    ]
    assert published()["cifar10"] == sorted(published()["cifar10"])


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["cat", "dog", "owl"], {0: "cat", 1: "dog", 2: "owl", 7: "7"}),
        (["cat", "owl"], {0: "cat", 1: "dog", 2: "2"}),  # the last class is not complete
    ],
)
def test_classes_of_folders_have_their_names(folders: list[str], expected: dict[int, str]) -> None:
    frames = synthetic.frames(n=2)
    renamed = {"digits/0000": "test/cat/0.png", "digits/0001": "test/dog/1.png"}
    for name, frame in frames.items():
        if "dataset" in frame.columns:
            frames[name] = frame.assign(dataset="folder:pets")
        if "target_id" in frame.columns:
            frames[name]["target_id"] = frame["target_id"].replace(renamed)
    frames["targets"]["goal"] = 2 if len(folders) == 3 else 3
    images = frames["scores"]["role"].eq("calibration")
    frames["scores"].loc[images, "image_id"] = [
        f"test/{folders[place % len(folders)]}/{place}.png" for place in range(images.sum())
    ]
    names = Names(tables.number(frames))
    assert {label: names.name("folder:pets", label) for label in expected} == expected


def test_a_long_gallery_shows_the_first_targets_of_each_victim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    analysis = Analysis(tables.number(populations.frames(victims=3, n=4)))
    place, detectors = ranks(analysis), ["confidence"]
    whole = gallery.gallery(analysis.records, place, detectors)
    assert whole.shown == whole.stored > 1
    monkeypatch.setattr(gallery, "CHARACTERS", 1)
    short = gallery.gallery(analysis.records, place, detectors)
    assert (short.shown, short.stored) == (1, whole.stored)
    assert [target.study[-6:] for target in short.targets] == ["seed 0", "seed 1", "seed 2"]
    assert {target.name for target in short.targets} == {whole.targets[0].name}


def test_words_have_the_meanings_of_the_readme() -> None:
    section = (ROOT / "README.md").read_text().split("## Words")[1].split("\n## ")[0]
    meanings = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.M))
    shared = [word for word in words().values() if word.title in meanings]
    assert len(shared) >= 12
    for word in shared:
        assert word.description == meanings[word.title]
