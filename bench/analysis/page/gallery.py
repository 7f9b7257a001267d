"""The gallery: each stored target under every attack, with every detector's score."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evil_twins.bench.analysis.page.matrix import Known
from evil_twins.bench.analysis.page.ranks import Ranks
from evil_twins.bench.analysis.plots.sheet import gain, pair
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.records import STUDY, Records

SIDE = 64
"""Longest side of an image in the page, in pixels; larger ones are made smaller."""


@dataclass(frozen=True)
class Scored:
    """A detector's word on one attacked input; ranks as in `Ranks`."""

    score: str
    below: int
    scores: int
    flagged: bool


@dataclass(frozen=True)
class Shown:
    """One attack on one target; images are data URIs, the difference amplified `times`."""

    name: str
    attacked: str
    difference: str
    times: int
    seen: int
    distance: str
    scored: tuple[Scored | None, ...]


@dataclass(frozen=True)
class Target:
    """A target and what became of it."""

    title: str
    original: str
    label: int
    goal: int
    attacks: tuple[Shown, ...]


def gallery(records: Records, known: Known, detectors: list[str]) -> list[Target]:
    """Every target of which images are stored, by study and name.

    Args:
        records: The records.
        known: Ranks by row and detector.
        detectors: The columns of scores, in order.

    Raises:
        UserError: A stored image is damaged.
    """
    made = []
    for _, rows in records.rows.groupby(STUDY, sort=True):
        order = {row: place for place, row in enumerate(text.ordered(rows))}
        names = {row: text.name(frames.line(rows, row)) for row in order}
        head = text.study(frames.lines(rows)[0])
        mine = frames.lines(records.gallery[records.gallery["row"].isin(order)])
        mine.sort(key=lambda one: (str(one["target_id"]), order[int(one["row"])]))
        for target, group in groupby(mine, key=lambda one: str(one["target_id"])):
            lines = list(group)
            attacks = []
            for one in lines:
                row = int(one["row"])
                scored = tuple(_scored(known.get((row, d)), target) for d in detectors)
                attacks.append(_shown(names[row], one, scored))
            title = text.one_line(f"{target} · {head}")
            facts = (int(lines[0]["label"]), int(lines[0]["goal"]))
            made.append(Target(title, _uri(pair(lines[0])[0]), *facts, tuple(attacks)))
    return made


def _shown(name: str, one: dict[str, Any], scored: tuple[Scored | None, ...]) -> Shown:
    original, x = pair(one)
    times = gain([(original, x)])
    return Shown(
        name=name,
        attacked=_uri(x),
        difference=_uri(0.5 + times * (x - original)),
        times=times,
        seen=int(one["predicted"]),
        distance=f"{255 * float(np.abs(x - original).max()):.1f}",
        scored=scored,
    )


def _scored(one: Ranks | None, target: str) -> Scored | None:
    if one is None or target not in one.at:
        return None
    place = one.at[target]
    below = int(one.below[place])
    return Scored(text.number(float(one.score[place])), below, one.n, below >= one.rank)


def _uri(image: NDArray[np.float64]) -> str:
    """(H, W, C) in [0, 1], C = 1 or 3, as a PNG in a data URI."""
    bytes_ = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    drawn = Image.fromarray(bytes_[:, :, 0] if bytes_.shape[2] == 1 else bytes_)
    drawn.thumbnail((SIDE, SIDE))
    stream = BytesIO()
    drawn.save(stream, "png", optimize=True)
    return uri("image/png", stream.getvalue())


def uri(kind: str, content: bytes) -> str:
    """Bytes as a data URI."""
    return f"data:{kind};base64,{b64encode(content).decode()}"
