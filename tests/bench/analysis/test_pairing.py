"""Folders are compared on the victims that they share by content, whatever the names."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.page.comparison import write
from evil_twins.bench.analysis.tables.compare import between, identity
from evil_twins.bench.errors import UserError
from tests.bench import reported, synthetic

Frames = dict[str, pd.DataFrame]
A, B, C = (digit * 64 for digit in "abc")


def _suite(*victims: tuple[int, str | None], name: str = "resnet-tiny") -> Frames:
    """Return records of victims by seed and content hash; None leaves the column out."""
    stored = reported.frames()
    parts: dict[str, list[pd.DataFrame]] = {key: [] for key in stored}
    for seed, content in victims:
        for key, frame in stored.items():
            values = {"seed": seed, "victim": name}
            values |= {"content": content} if key == "victims" else {}
            frame = frame.assign(**{k: v for k, v in values.items() if k in frame.columns})
            parts[key].append(
                frame.drop(columns="content" if content is None else [], errors="ignore")
            )
    return {key: pd.concat(frames, ignore_index=True) for key, frames in parts.items()}


def _page(folder: Path, *suites: Frames) -> str:
    folders = [
        synthetic.write(folder / name, stored)
        for name, stored in zip("pqr"[: len(suites)], suites, strict=True)
    ]
    return write(folders).read_text(encoding="utf-8")


def _differences(page: str) -> str:
    return page.split('id="differences"')[1].split('id="tables"')[0]


def _titles(page: str) -> list[str]:
    return [text for text in reported.outline(page).text("h3") if "resnet" in text]


def test_other_victims_of_the_same_name_give_no_paired_line(tmp_path: Path) -> None:
    page = _page(tmp_path, _suite((0, A)), _suite((0, B)))
    words = _differences(page)
    assert "p and q have no victim in common, so no rates are subtracted." in words
    assert "<table" not in words
    assert "differences.csv" not in page
    assert "p: digits, resnet-tiny, seed 0 (aaaaaaaa)" in page
    assert "q: digits, resnet-tiny, seed 0 (bbbbbbbb)" in page
    assert "digits, resnet-tiny, seed 0 (bbbbbbbb): test accuracy 97.5 %" in page


def test_one_victim_under_two_names_is_paired(tmp_path: Path) -> None:
    page = _page(tmp_path, _suite((0, A)), _suite((5, A), name="fetched"))
    words = _differences(page)
    assert "p (digits, resnet-tiny, seed 0) minus q (digits, fetched, seed 5)" in words
    assert "Targets in both: 14. Significant differences: 0 of 10." in words
    assert "differences.csv" in page


def test_of_several_victims_those_of_equal_content_are_paired(tmp_path: Path) -> None:
    page = _page(tmp_path, _suite((0, A), (1, B)), _suite((0, B), (1, C)), _suite((0, C)))
    first, second = "p (digits, resnet-tiny, seed 1 (bbbbbbbb))", "digits, resnet-tiny, seed"
    pairs = [title for title in _titles(_differences(page)) if " minus " in title]
    assert pairs == [
        f"{first} minus q ({second} 0 (bbbbbbbb))",
        f"q ({second} 1 (cccccccc)) minus r ({second} 0 (cccccccc))",
    ]
    assert "p and r have no victim in common" in page


@pytest.mark.parametrize("unknown", ["", None])
def test_unknown_victims_are_paired_with_none_of_another_folder(
    unknown: str | None, tmp_path: Path
) -> None:
    for content in (A, ""):
        page = _page(tmp_path / f"_{content}", _suite((0, content)), _suite((0, unknown)))
        names = "q" if content else "p and q"
        expected = f"the older records of {names} do not say which victim they attack."
        assert expected in _differences(page)
        assert "differences.csv" not in page


def test_unknown_victims_of_one_folder_are_the_same(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path / "p", _suite((0, None), (1, None)))
    analysis = tables.Analysis(folder)
    contents = identity.contents(analysis.records)
    (titles,) = identity.titles([contents])
    first, second = between.sides(folder, analysis, contents, titles)
    assert first.has_victim_of(first)
    assert not first.has_victim_of(second)
    (tmp_path / "q").symlink_to(folder)
    linked, _ = between.sides(tmp_path / "q", analysis, contents, titles)
    assert first.has_victim_of(linked)
    assert set(between.between(first, linked).table["difference"]) == {0.0}
    with pytest.raises(ValueError, match="not the same victim"):
        between.between(first, second)


def test_two_hashes_of_one_victim_are_none(tmp_path: Path) -> None:
    stored = _suite((0, A))
    again = stored["victims"].assign(content=B)
    stored["victims"] = pd.concat([stored["victims"], again], ignore_index=True)
    records = tables.read(synthetic.write(tmp_path, stored))
    assert set(identity.contents(records).values()) == {""}


def test_older_records_are_read(tmp_path: Path) -> None:
    records = tables.read(synthetic.write(tmp_path, _suite((0, None))))
    assert records.victims["content"].tolist() == [""]


@pytest.mark.parametrize(
    "content", ["x", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "\x1b[31m"]
)
def test_what_is_no_hash_is_damage(content: str, tmp_path: Path) -> None:
    synthetic.write(tmp_path, _suite((0, content)))
    with pytest.raises(UserError, match=r"victims\.parquet: the column content holds what is no"):
        tables.read(tmp_path)
