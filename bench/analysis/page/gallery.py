"""The gallery: stored targets under every attack, with the score of every detector."""

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evil_twins.bench.analysis.page.classes import Names
from evil_twins.bench.analysis.page.limits import Limits
from evil_twins.bench.analysis.page.ranks import Ranks, RanksByCell
from evil_twins.bench.analysis.plots.sheet import gain, pair
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.records import Records

SIDE = 64
"""Longest side of an image on the page, in pixels; larger images are reduced."""

CHARACTERS = 1_600_000
"""Size of the gallery and its thresholds in characters; all victims have equally many targets."""

SCORE_CHARACTERS = 110
"""Size of a score on the page, about."""


class Scored(NamedTuple):
    """A detector's score of an attacked input.

    Attributes:
        score: The score in words.
        below: The number of calibration scores below it.
        limits: The place of the calibration scores in `Gallery.limits`.
        decision: The threshold and whether it is flagged, in words.
        flagged: Whether it is above the threshold.
    """

    score: str
    below: int
    limits: int
    decision: str
    flagged: bool


class Shown(NamedTuple):
    """An attack on a target; images are data URIs, the difference is amplified `times` times."""

    name: str
    attacked: str
    difference: str
    times: int
    predicted: str
    distance: str
    scored: tuple[Scored | None, ...]

    @property
    def size(self) -> int:
        """Its size on the page in characters, about."""
        return len(self.attacked) + len(self.difference) + SCORE_CHARACTERS * len(self.scored)


class Target(NamedTuple):
    """A target and the attacks on it; name and study together are unique."""

    name: str
    study: str
    original: str
    label: str
    goal: str
    attacks: tuple[Shown, ...]


class Gallery(NamedTuple):
    """The first targets of each victim.

    Attributes:
        targets: The targets that the page shows, by study and name.
        stored: The largest number of stored targets of a victim.
        limits: The highest quarter of each list of calibration scores, in words, with their number.
    """

    targets: tuple[Target, ...]
    stored: int
    limits: list[tuple[int, list[str]]]

    @property
    def shown(self) -> int:
        """The largest number of targets of a victim that the page shows."""
        studies = [target.study for target in self.targets]
        return max(map(studies.count, studies), default=0)


def gallery(records: Records, by_cell: RanksByCell, detectors: list[str]) -> Gallery:
    """Return the first n targets with stored images of every victim, by study and name.

    n is as large as `CHARACTERS` allow, at least 1.

    Raises:
        UserError: A stored image is damaged.
    """
    limits, names = Limits(), Names(records)
    studies = [
        _Study(title, records, rows, names, limits, by_cell, detectors)
        for title, rows in text.studies(records.rows)
    ]
    chosen, size = list[Target](), 0
    for places in zip_longest(*(study.targets for study in studies)):
        turn = [
            study.target(name)
            for study, name in zip(studies, places, strict=True)
            if name is not None
        ]
        size += sum(attack.size for target in turn for attack in target.attacks)
        if chosen and size + limits.size > CHARACTERS:
            break
        chosen += turn
    stored = max((len(study.targets) for study in studies), default=0)
    chosen.sort(key=lambda target: (target.study, target.name))
    return Gallery(tuple(chosen), stored, limits.lists)


class _Study:
    """The stored images of one victim."""

    def __init__(
        self,
        title: str,
        records: Records,
        rows: Any,
        names: Names,
        limits: Limits,
        by_cell: RanksByCell,
        detectors: list[str],
    ) -> None:
        self._title, self._names, self._limits = title, names, limits
        self._by_cell, self._detectors = by_cell, detectors
        self._order = {row: place for place, row in enumerate(text.ordered(rows))}
        self._attacks = {row: text.name(frames.line(rows, row)) for row in self._order}
        self._dataset = str(rows["dataset"].iloc[0])
        stored = records.gallery[records.gallery["row"].isin(self._order)]
        self._lines = dict(iter(stored.groupby(stored["target_id"].astype(str), sort=True)))
        self.targets = list(self._lines)

    def target(self, name: str) -> Target:
        """Return a target under every attack, in reading order."""
        lines = frames.lines(self._lines[name])
        lines.sort(key=lambda line: self._order[int(line["row"])])
        label, goal = (self._class(lines[0][side]) for side in ("label", "goal"))
        attacks = tuple(self._shown(name, line) for line in lines)
        original = _uri(pair(lines[0])[0])
        return Target(text.one_line(name), self._title, original, label, goal, attacks)

    def _class(self, label: object) -> str:
        return self._names.name(self._dataset, int(str(label)))

    def _shown(self, target: str, line: dict[str, Any]) -> Shown:
        row, (original, x) = int(line["row"]), pair(line)
        times = gain([(original, x)])
        return Shown(
            name=self._attacks[row],
            attacked=_uri(x),
            difference=_uri(0.5 + times * (x - original)),
            times=times,
            predicted=self._class(line["predicted"]),
            distance=f"{255 * float(np.abs(x - original).max()):.1f}",
            scored=tuple(self._scored(row, target)),
        )

    def _scored(self, row: int, target: str) -> Iterator[Scored | None]:
        for detector in self._detectors:
            cell = self._by_cell.get((row, detector))
            yield None if cell is None or target not in cell.places else self._score(cell, target)

    def _score(self, cell: Ranks, target: str) -> Scored:
        place = cell.places[target]
        score, below = text.number(float(cell.score[place])), int(cell.below[place])
        if not cell.has_rate:
            return Scored(score, 0, self._limits.none, "", flagged=False)
        flagged = below >= cell.rank
        words = self._limits.decision(cell, flagged)
        return Scored(score, below, self._limits.place(cell), words, flagged)


def _uri(image: NDArray[np.float64]) -> str:
    """Return an image (H, W, C) in [0, 1], C = 1 or 3, as a PNG in a data URI."""
    bytes_ = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    drawn = Image.fromarray(bytes_[:, :, 0] if bytes_.shape[2] == 1 else bytes_)
    drawn.thumbnail((SIDE, SIDE))
    stream = BytesIO()
    drawn.save(stream, "png", optimize=True)
    return uri("image/png", stream.getvalue())


def uri(kind: str, content: bytes) -> str:
    """Return bytes as a data URI."""
    return f"data:{kind};base64,{b64encode(content).decode()}"
