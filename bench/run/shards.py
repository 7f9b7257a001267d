"""The plan of a suite as data: cells, victims and shards."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.suite.rows import Row


@dataclass(frozen=True)
class Shard:
    """A few targets of one row, as keys of cells.

    Attributes:
        row: The row.
        seed: Seed of its victim.
        attack: Its attack cell.
        scores: Detector -> its score cell.
        benign: Detector -> its scores of benign images, where all targets face the victim; in
            other rows the score cell has them.
        durability: Its durability cell, or "".
    """

    row: Row
    seed: int
    attack: str
    scores: Mapping[str, str]
    benign: Mapping[str, str] = field(default_factory=dict)
    durability: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its cells."""
        benign = (key for label, key in self.benign.items() if label in self.scores)
        durability = (self.durability,) if self.durability else ()
        return (self.attack, *self.scores.values(), *benign, *durability)


@dataclass(frozen=True)
class Plan:
    """The plan of a suite.

    Attributes:
        cells: The cells by key, parents before children.
        victims: The key of each victim by its seed.
        shards: The shards.
        doubts: Lines on likely mistakes of the user.
    """

    cells: Mapping[str, Cell]
    victims: Mapping[int, str]
    shards: tuple[Shard, ...]
    doubts: tuple[str, ...] = ()
