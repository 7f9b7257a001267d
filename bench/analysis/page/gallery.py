"""The gallery: each stored target under every attack, with the score of every detector."""

from base64 import b64encode
from io import BytesIO
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evil_twins.bench.analysis.page.ranks import Ranks, RanksByCell
from evil_twins.bench.analysis.plots.sheet import gain, pair
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.records import Records

SIDE = 64
"""Longest side of an image on the page, in pixels; larger images are reduced."""


class Scored(NamedTuple):
    """A detector's score of an attacked input; ranks as in `Ranks`."""

    score: str
    below: int
    scores: int
    flagged: bool


class Shown(NamedTuple):
    """An attack on a target; images are data URIs, the difference is amplified `times` times."""

    name: str
    attacked: str
    difference: str
    times: int
    predicted: int
    distance: str
    scored: tuple[Scored | None, ...]


class Target(NamedTuple):
    """A target and the attacks on it."""

    title: str
    original: str
    label: int
    goal: int
    attacks: tuple[Shown, ...]


def gallery(records: Records, by_cell: RanksByCell, detectors: list[str]) -> list[Target]:
    """Return every target with stored images, by study and name.

    Raises:
        UserError: A stored image is damaged.
    """
    targets = []
    for study, rows in text.studies(records.rows):
        order = {row: place for place, row in enumerate(text.ordered(rows))}
        names = {row: text.name(frames.line(rows, row)) for row in order}
        stored = frames.lines(records.gallery[records.gallery["row"].isin(order)])
        stored.sort(key=lambda line: (str(line["target_id"]), order[int(line["row"])]))
        for target, group in groupby(stored, key=lambda line: str(line["target_id"])):
            lines = list(group)
            attacks = []
            for line in lines:
                row = int(line["row"])
                scored = tuple(_scored(by_cell.get((row, d)), target) for d in detectors)
                attacks.append(_shown(names[row], line, scored))
            title = text.one_line(f"{target} · {study}")
            facts = (int(lines[0]["label"]), int(lines[0]["goal"]))
            targets.append(Target(title, _uri(pair(lines[0])[0]), *facts, tuple(attacks)))
    return targets


def _shown(name: str, line: dict[str, Any], scored: tuple[Scored | None, ...]) -> Shown:
    original, x = pair(line)
    times = gain([(original, x)])
    return Shown(
        name=name,
        attacked=_uri(x),
        difference=_uri(0.5 + times * (x - original)),
        times=times,
        predicted=int(line["predicted"]),
        distance=f"{255 * float(np.abs(x - original).max()):.1f}",
        scored=scored,
    )


def _scored(cell: Ranks | None, target: str) -> Scored | None:
    if cell is None or target not in cell.places:
        return None
    place = cell.places[target]
    score, below = text.number(float(cell.score[place])), int(cell.below[place])
    if not cell.has_rate:
        return Scored(score, 0, 0, flagged=False)  # of no scores, whatever the rate
    return Scored(score, below, cell.n, below >= cell.rank)


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
