"""Columns of a suite: lists of numbers and words sweep, parameters that take a list do not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from evil_twins.bench.errors import UserError
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.columns import axes_of
from evil_twins.bench.suite.objects import entries
from evil_twins.bench.suite.rows import MOST_PAIRS
from tests.bench import suites
from tests.bench.suites import shift, table

NEAR = """
class Near:
    def __init__(self, k=3, layers=None, weight: float = 1.0):
        self.k = k

    def fit(self, view):
        return lambda x: x.mean((1, 2, 3))
"""


def _labels(folder: Path, *detectors: str) -> list[str]:
    (folder / "mine.py").write_text(NEAR)
    path = suites.write(folder, shift(), *detectors)
    return [column.label for column in suite.load(path).columns]


def test_each_combination_is_a_column(tmp_path: Path) -> None:
    swept = table("detectors", name="near", method="mine.py:Near", k=[1, 5], weight=[0.5, 2.0])
    assert _labels(tmp_path, swept) == [
        f"near(k={k}, weight={weight})" for k in (1, 5) for weight in (0.5, 2.0)
    ]


def test_words_sweep_and_a_list_in_brackets_is_the_same(tmp_path: Path) -> None:
    first = table("detectors", method="confidence", statistic=["energy", "softmax"])
    second = table("detectors", method="mine.py:Near(k=[1, 5])")
    assert _labels(tmp_path, first, second) == [
        *("confidence(statistic='energy')", "confidence(statistic='softmax')"),
        *("mine.py:Near(k=1)", "mine.py:Near(k=5)"),
    ]


def test_a_column_of_a_sweep_is_the_column_of_its_value(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NEAR)
    swept = table("detectors", method="mine.py:Near", k=[1, 5])
    single = table("detectors", name="five", method="mine.py:Near", k=5)
    columns = suite.load(suites.write(tmp_path, shift(), swept, single)).columns
    assert columns[1].detector == columns[2].detector
    assert columns[0].detector != columns[1].detector


@dataclass(frozen=True)
class Declared:
    """Fields of every kind."""

    number: int = 1
    share: float | None = None
    word: Literal["a", "b"] = "a"
    flag: bool = False
    numbers: tuple[int, ...] = ()
    either: float | list[float] = 1.0


def test_only_what_is_declared_as_a_number_or_a_word_sweeps() -> None:
    names = ("number", "share", "word", "flag", "numbers", "either")
    assert set(axes_of(Declared, {name: [1, 2] for name in names})) == {
        *("number", "share", "word", "flag")
    }
    assert axes_of(Declared, {"number": 3}) == {}


def test_without_a_type_the_default_decides(tmp_path: Path) -> None:
    swept = table("detectors", name="near", method="mine.py:Near", k=[1, 5], layers=[1, 2])
    assert _labels(tmp_path, swept) == ["near(k=1)", "near(k=5)"]


@pytest.mark.parametrize(
    ("k", "words"),
    [("[]", "k of detector 'near' is an empty list"), ("[1, 1]", "'near.k=1.' is listed twice")],
)
def test_a_wrong_list_is_refused(tmp_path: Path, k: str, words: str) -> None:
    method = f"mine.py:Near(k={k})"
    with pytest.raises(UserError, match=words):
        _labels(tmp_path, table("detectors", name="near", method=method))


def test_a_small_file_cannot_ask_for_endless_columns(tmp_path: Path) -> None:
    swept = [
        table("detectors", name=f"near{i}", method="mine.py:Near", k=list(range(MOST_PAIRS // 2)))
        for i in range(3)
    ]
    with pytest.raises(UserError, match="the lists of detector 'near0' are too many columns"):
        _labels(tmp_path, shift("second"), shift("third"), *swept)


def test_an_entry_of_evaluate_sweeps_as_well() -> None:
    (entry,) = entries("detector", ["confidence(statistic=['energy', 'softmax'])"])
    assert [column.label for column in entry.columns(10)] == [
        *("confidence(statistic='energy')", "confidence(statistic='softmax')")
    ]
