"""Lines of tables and figures to show, by attack, detector and κ, and victims to pool."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.records import Records
from evil_twins.bench.errors import UserError, unknown
from evil_twins.bench.store.levels import BENIGN

COLUMNS = {"attacks": "attack", "detectors": "detector", "kappa": "kappa"}
"""Part of a selection, and option of a command -> the column that it selects by."""


@dataclass(frozen=True)
class Selection:
    """The lines to show. No number changes: each is that of the whole suite.

    Attributes:
        attacks: Patterns of labels of attacks, with * and ?; none for all.
        detectors: Patterns of labels of detectors; none for all.
        kappa: Levels of κ, `BENIGN` for "benign"; none for all, and for rows without a κ.
    """

    attacks: tuple[str, ...] = ()
    detectors: tuple[str, ...] = ()
    kappa: tuple[float, ...] = ()

    @property
    def options(self) -> list[str]:
        """The parts that select."""
        return [field.name for field in fields(self) if getattr(self, field.name)]

    def has_attack(self, label: object) -> bool:
        """Check whether an attack is shown."""
        return _matches(self.attacks, str(label))

    def has_detector(self, label: object) -> bool:
        """Check whether a detector is shown."""
        return _matches(self.detectors, str(label))

    def lines(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the lines to show; a part selects nothing where its column is missing."""
        for part, shows in (("attacks", self.has_attack), ("detectors", self.has_detector)):
            if getattr(self, part) and COLUMNS[part] in frame:
                frame = frame[frame[COLUMNS[part]].map(shows).astype(bool)]
        if self.kappa and "kappa" in frame:
            frame = frame[frame["kappa"].isin(self.kappa)]
        return frame

    def check(self, records: Records) -> None:
        """Check that each pattern and level selects something.

        Raises:
            UserError: One of them selects nothing; it lists what is known.
        """
        parts = (
            ("attack", self.attacks, records.rows["attack"]),
            ("detector", self.detectors, records.scores["detector"]),
        )
        for kind, patterns, labels in parts:
            names = [str(label) for label in labels.unique()]
            for pattern in patterns:
                if not any(fnmatchcase(name, pattern) for name in names):
                    raise unknown(kind, pattern, names)
        levels = sorted(set(records.rows["kappa"].dropna()))
        for level in self.kappa:
            if level not in levels:
                words = ", ".join(map(text.level, levels)) or "none"
                raise UserError(f"no attack has κ {text.level(level)}", f"known: {words}")


ALL = Selection()


def _matches(patterns: tuple[str, ...], label: str) -> bool:
    return not patterns or any(fnmatchcase(label, pattern) for pattern in patterns)


def selection(
    attacks: str | Iterable[str] = (),
    detectors: str | Iterable[str] = (),
    kappa: float | str | Iterable[float | str] = (),
) -> Selection:
    """Return a selection by patterns and levels, one or several of each.

    Raises:
        UserError: A level is neither a number in (0, 1) nor "benign".
    """
    levels = (kappa,) if isinstance(kappa, float | str) else kappa
    return Selection(_several(attacks), _several(detectors), tuple(map(level, levels)))


def _several(words: str | Iterable[str]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else tuple(words)


def level(words: object) -> float:
    """Read a level of κ: a number in (0, 1), or "benign".

    Raises:
        UserError: It is neither.
    """
    if words == "benign":
        return BENIGN
    try:
        value = float(str(words))
    except ValueError:
        value = 0.0
    if 0 < value < 1:
        return value
    raise UserError(f"κ {words} is no level", 'expected: a number in (0, 1), or "benign"')


def of_victims(records: Records, seeds: Iterable[int]) -> Records:
    """Return the records of the victims of these seeds, of all without seeds.

    Raises:
        UserError: No victim has one of the seeds.
    """
    wanted, stored = set(seeds), {int(seed) for seed in records.rows["seed"]}
    if not wanted:
        return records
    if missing := sorted(wanted - stored):
        raise unknown("victim (seed)", str(missing[0]), map(str, stored))
    rows = records.rows[records.rows["seed"].isin(wanted)]
    victims = records.victims[records.victims["seed"].isin(wanted)]
    return replace(of_rows(records, rows), victims=victims)


def of_rows(records: Records, rows: pd.DataFrame) -> Records:
    """Return the records of these rows, which are lines of `Records.rows`."""
    parts = ("targets", "flips", "scores", "details", "gallery", "durability")
    frames = {name: getattr(records, name) for name in parts}
    shown = {name: frame[frame["row"].isin(rows.index)] for name, frame in frames.items()}
    return replace(records, rows=rows, **shown)
