"""Attack families: the rows of one sweep between their two pure endpoints."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import STUDY, Records

PGD = "pgd"
POISONING = "poisoning"
IMC = "imc"
WITHIN = "within"
PROPOSITION = "proposition"
CONTROLS = ("untouched", "noise", "fine-tuning", WITHIN, PROPOSITION)
"""Methods of which κ asks nothing: neither rivals of an endpoint nor among the worst cases."""

FAMILY = [*STUDY, "attack", "method", "layers", "kappa"]


@dataclass(frozen=True)
class Family:
    """One sweep.

    Attributes:
        key: Values of FAMILY.
        along: "phi" or "lam": what is swept.
        norm: "linf" or "l2": the norm of its fidelity loss, and a column of the targets.
        rows: (row, level) by rising level, endpoints left out.
        pgd: Row of the pure input attack at the same kappa in that norm, None when there is none.
        poisoning: Row of the pure model attack on the same layers, None when there is none.
    """

    key: dict[str, Any]
    along: str
    norm: str
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


def _endpoint(rows: pd.DataFrame, wanted: dict[str, Any]) -> int | None:
    """The row of a pure attack for a family; where several fit, the one of the plain name."""
    at = pd.Series(True, index=rows.index)
    for name, value in wanted.items():
        at &= rows[name].eq(value)
    found = rows[at]
    plain = found[found["attack"].eq(wanted["method"])]
    found = plain if len(plain) else found
    return None if found.empty else int(found.index[0])


def families(records: Records) -> Iterator[Family]:
    """Every sweep along phi and along lam, in the order of the rows."""
    norms = records.targets.groupby("row")["norm"].first()
    every = records.rows.assign(norm=norms.reindex(records.rows.index))
    joint = every[every["method"].eq(IMC)]
    for along in ("phi", "lam"):
        swept = joint[joint[along].notna()]
        if along == "lam":
            swept = swept[swept["phi"].isna()]
        for values, rows in swept.groupby(FAMILY, dropna=False, sort=True):
            key = dict(zip(FAMILY, values, strict=True))
            norm = str(rows["norm"].iloc[0])
            same = {name: key[name] for name in (*STUDY, "kappa")}
            levels = lines(rows.sort_values(along).reset_index(names="row"))
            yield Family(
                key=key,
                along=along,
                norm=norm,
                rows=tuple((int(one["row"]), float(one[along])) for one in levels),
                pgd=_endpoint(every, same | {"method": PGD, "norm": norm}),
                poisoning=_endpoint(every, same | {"method": POISONING, "layers": key["layers"]}),
            )


def sweeps(records: Records) -> list[Family]:
    """The families, but for one level alone beside several on the same layers, κ and norm.

    Such a row varies the sweep at one place (by another exit, say): it is no curve of its own.
    """
    every = list(families(records))

    def place(one: Family) -> tuple[object, ...]:
        return (*(one.key[k] for k in (*STUDY, "layers", "kappa")), one.along, one.norm)

    whole = {place(one) for one in every if len(one.rows) > 1}
    return [one for one in every if len(one.rows) > 1 or place(one) not in whole]
