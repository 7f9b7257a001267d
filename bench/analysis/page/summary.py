"""The three sentences at the head of a page: the best detectors, their certainty, their limit."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.page.columns import BASELINE
from evil_twins.bench.analysis.tables import Analysis, frames, text
from evil_twins.bench.analysis.tables.any_of import NAME as ANY
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.paired import WORST
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.analysis.tables.recipes import MEAN, MODEL, numbered, populations

MOVES = {"inputs": "only the input", "model": "only the model", "both": "both"}
"""The part that an attack moves -> its words."""


class Share(NamedTuple):
    """A rate of a detector.

    Attributes:
        detector: Name of the detector.
        attack: The attack in words, or "" for the worst of all.
        words: The rate in %, with its interval.
        flagged: Number of flagged targets; of the worst case, of caught ones.
    """

    detector: str
    attack: str
    words: str
    flagged: int


class Best(NamedTuple):
    """The detector with the highest rate on attacks of one kind, each at its hardest attack.

    Attributes:
        moves: The part that these attacks move, in words.
        share: The lowest rate of this detector on them.
    """

    moves: str
    share: Share


class Summary(NamedTuple):
    """The numbers of three sentences about one recipe.

    Attributes:
        title: The recipe, or the study of a single victim.
        kappa: The κ of all attacks in words, or "" if they have none.
        best: The best detector for each kind of attack.
        detectors: Number of detectors.
        victims: Number of victims.
        targets: Number of targets of each attack, of all victims.
        scope: For what the intervals hold, in words.
        alarms: The lowest and the highest realised false-positive rate of the best ones, in %.
        attacks: Number of attacks that the attacker chooses from.
        worst: The best detector if each target gets the attack that suits the attacker.
        baseline: The same for the baseline; None without it.
    """

    title: str
    kappa: str
    best: tuple[Best, ...]
    detectors: int
    victims: int
    targets: str
    scope: str
    alarms: tuple[str, ...]
    attacks: int
    worst: Share | None
    baseline: Share | None


def summaries(analysis: Analysis) -> Iterator[Summary]:
    """Yield the summary of each recipe that has a rate.

    It is about the attacks at the highest κ: an attacker who is as sure as a benign input, where
    the suite has one. The OR of all detectors is no candidate.
    """
    for title, victims, rows in populations(analysis.records.rows):
        table = numbered(rows, analysis.table(POPULATION if victims > 1 else DETECTION))
        table = table[table["fpr_nominal"].eq(analysis.fpr) & table["detector"].ne(ANY)]
        table = table.merge(rows[["moves", "role"]], left_on="row", right_index=True)
        table = table[table["role"].eq("attack") & _has_rate(table, victims)]
        kappa = table["kappa"].max()
        table = table[table["kappa"].eq(kappa) | pd.isna(kappa)]
        if len(table):
            yield _summary(analysis, title, victims, kappa, table)


def _has_rate(table: pd.DataFrame, victims: int) -> "pd.Series[bool]":
    """Return which lines have a threshold, for every victim."""
    if victims > 1:
        return table["rate"].notna() & table["note"].eq("")
    return table["rate"].notna() & table["threshold"].lt(float("inf"))


def _summary(
    analysis: Analysis, title: str, victims: int, kappa: float, table: pd.DataFrame
) -> Summary:
    kinds = [(words, table[table["moves"].eq(moves)]) for moves, words in MOVES.items()]
    chosen = [(words, _hardest(part)) for words, part in kinds if len(part)]
    alarms = [100 * line["fpr_realised"] for _, line in chosen if pd.notna(line["fpr_realised"])]
    worst = {share.detector: share for share in _worst(analysis, table, kappa)}
    sizes = [float(n) for n in table["n"]]
    return Summary(
        title=title,
        kappa="" if pd.isna(kappa) else text.level(kappa),
        best=tuple(Best(words, _rated(line)) for words, line in chosen),
        detectors=table["detector"].nunique(),
        victims=victims,
        targets="–".join(_ends(sizes)),
        scope=MEAN if victims > 1 else MODEL,
        alarms=_ends(alarms),
        attacks=table["row"].nunique(),
        worst=max(worst.values(), key=lambda share: share.flagged, default=None),
        baseline=worst.get(BASELINE),
    )


def _ends(values: list[float]) -> tuple[str, ...]:
    """Write the lowest and the highest value, or one if they are equal in words."""
    ends = (min(values), max(values)) if values else ()
    return tuple(dict.fromkeys(f"{value:.0f}" for value in ends))


def _hardest(table: pd.DataFrame) -> dict[str, Any]:
    """Return the line of the best detector on its hardest attack: the highest of lowest rates.

    A detector without a rate on some of the attacks is no candidate, unless all lack some.
    """
    attacks = table.groupby("detector")["row"].transform("nunique")
    table = table[attacks.eq(attacks.max())].sort_values(["rate", "detector", "row"])
    lowest = table.drop_duplicates("detector")
    return frames.lines(lowest.nlargest(1, "rate"))[0]


def _rated(line: dict[str, Any]) -> Share:
    words = written(line["rate"], line["low"], line["high"])
    return Share(str(line["detector"]), text.name(line), words, int(line["detected"]))


def _worst(analysis: Analysis, table: pd.DataFrame, kappa: float) -> Iterator[Share]:
    """Yield the rate of each detector against an attacker who chooses the attack."""
    recipe = table[["dataset", "victim"]].iloc[0]
    worst = analysis.table(WORST)
    worst = worst[worst[["dataset", "victim"]].eq(recipe).all(axis=1) & worst["kappa"].eq(kappa)]
    for detector, cells in worst[worst["detector"].ne(ANY)].groupby("detector"):
        rate = stats.Interval(*cells[["rate", "low", "high"]].iloc[0])
        if len(cells) > 1:
            caught, n, models = (frames.column(cells, name) for name in ("caught", "n", "models"))
            rate = stats.pooled_rate(caught, n, models).rate
        yield Share(str(detector), "", written(*rate), int(cells["caught"].sum()))


def written(rate: float, low: float, high: float) -> str:
    """Write a rate in % with its interval in brackets, if there is one."""
    interval = "" if pd.isna(low) else f" [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{100 * rate:.0f} %{interval}"
