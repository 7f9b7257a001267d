"""Attack families: the rows of one sweep between their two pure endpoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.tables.frames import lines
from bench.tables.load import STUDY, Records

PGD = "pgd"
POISONING = "poisoning"
IMC = "imc"
CONTROLS = ("untouched", "noise", "fine-tuning")
FAMILY = [*STUDY, "attack", "method", "layers", "kappa"]


@dataclass(frozen=True)
class Family:
    """One sweep.

    Attributes:
        key: Values of FAMILY.
        along: "phi" or "lam": what is swept.
        rows: (row, level) by rising level, endpoints left out.
        pgd: Row of the pure input attack at the same kappa, None when there is none.
        poisoning: Row of the pure model attack on the same layers, None when there is none.
    """

    key: dict[str, Any]
    along: str
    rows: tuple[tuple[int, float], ...]
    pgd: int | None
    poisoning: int | None

    def line(self) -> list[tuple[int, float]]:
        """All rows by rising fidelity loss, as (row, phi or lam); endpoints where they exist.

        Along phi the levels of the endpoints are 0 and 1. Along lam the price of fidelity falls
        from infinity (Poisoning) to 0 (PGD).
        """
        first, last = (0.0, 1.0) if self.along == "phi" else (float("inf"), 0.0)
        inner = [(row, level) for row, level in self.rows if level not in (first, last)]
        inner = inner if self.along == "phi" else inner[::-1]
        start = [] if self.poisoning is None else [(self.poisoning, first)]
        end = [] if self.pgd is None else [(self.pgd, last)]
        given = dict(self.rows)
        if not start:
            start = [(row, level) for row, level in given.items() if level == first]
        if not end:
            end = [(row, level) for row, level in given.items() if level == last]
        return [*start, *inner, *end]


def _endpoint(rows: pd.DataFrame, key: dict[str, Any], method: str) -> int | None:
    """The row of a pure attack for a family: its own label first, then the plain one."""
    at = rows["method"].eq(method) & rows["kappa"].eq(key["kappa"])
    for name in STUDY:
        at &= rows[name].eq(key[name])
    if method == POISONING:
        at &= rows["layers"].eq(key["layers"])
    found = rows[at]
    plain = found[found["attack"].eq(method)]
    found = plain if len(plain) else found
    return None if found.empty else int(found.index[0])


def families(records: Records) -> Iterator[Family]:
    """Every sweep along phi and along lam, in the order of the rows."""
    joint = records.rows[records.rows["method"].eq(IMC)]
    for along in ("phi", "lam"):
        swept = joint[joint[along].notna()]
        if along == "lam":
            swept = swept[swept["phi"].isna()]
        for values, rows in swept.groupby(FAMILY, dropna=False, sort=True):
            key = dict(zip(FAMILY, values, strict=True))
            levels = lines(rows.sort_values(along).reset_index(names="row"))
            yield Family(
                key=key,
                along=along,
                rows=tuple((int(one["row"]), float(one[along])) for one in levels),
                pgd=_endpoint(records.rows, key, PGD),
                poisoning=_endpoint(records.rows, key, POISONING),
            )
