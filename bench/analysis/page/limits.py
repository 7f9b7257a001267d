"""The calibration scores from which a page takes thresholds for the scores in its gallery."""

from evil_twins.bench.analysis.page.ranks import Ranks
from evil_twins.bench.analysis.tables import text

NO_THRESHOLD = "no threshold"
"""The words of a false-positive rate for which there are too few calibration scores."""


class Limits:
    """Lists of calibration scores, each stored once: the attacks on inputs share them.

    Attributes:
        lists: The number of scores, and their highest quarter in rising order: the thresholds of
            false-positive rates up to 25 %. More would make the page long.
        none: The place of an empty list, for a detector without a rate.
        size: Number of characters of all lists on the page, about.
    """

    def __init__(self) -> None:
        """Begin with an empty list."""
        self.lists: list[tuple[int, list[str]]] = [(0, [])]
        self._places = dict[bytes, int]()
        self.none, self.size = 0, 0

    def place(self, cell: Ranks) -> int:
        """Return the place of a cell's scores among the lists; they are added if they are new."""
        key = cell.limits.tobytes()
        if key not in self._places:
            self._places[key] = len(self.lists)
            highest = cell.limits[cell.n - (cell.n + 3) // 4 :]
            words = [text.number(float(score)) for score in highest]
            self.lists.append((cell.n, words))
            self.size += sum(len(word) + 4 for word in words)
        return self._places[key]

    def decision(self, cell: Ranks, flagged: bool) -> str:
        """Write the threshold at the headline rate, and whether a score is above it."""
        if cell.rank > cell.n:
            return NO_THRESHOLD
        limit = text.number(float(cell.limits[cell.rank - 1]))
        return f"flagged, > {limit}" if flagged else f"≤ {limit}"
