"""What Poisoning alone costs, beside the paper's Table 2."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.paper import beside
from evil_twins.bench.analysis.tables.analysis import Table
from evil_twins.bench.analysis.tables.attacks import ATTACKS
from evil_twins.bench.analysis.tables.audit import CONVEX
from evil_twins.bench.analysis.tables.families import POISONING
from evil_twins.bench.analysis.tables.frames import column, lines
from evil_twins.bench.analysis.tables.records import STUDY, Records

_ENDS = ("", "_low", "_high")
COLUMNS = [*STUDY, "attack", "method", "layers", "kappa", "n", "at_kappa", "flipped", "heldout"]
COLUMNS += [f"{n}{end}" for n in ("specificity", "drop", "drop_cut", "kl") for end in _ENDS]
COLUMNS += ["paper_data", "paper_victim", "paper_drop", "paper_stored", "paper_note"]


def specificity(records: Records, attacks: pd.DataFrame) -> pd.DataFrame:
    """One line per row that poisons the model alone.

    `specificity` is Eqn 9, the pooled share of predictions on R that flipped, with its crossed
    bootstrap interval. `drop` is the mean drop of accuracy on R, `drop_cut` the same with the
    negative drops of single targets set to 0, as the code of the paper's authors has it, and `kl`
    the mean KL: intervals are over targets. `paper_drop` is what Table 2 prints for the data set
    and κ, `paper_stored` what the authors' plotting scripts hold, `paper_note` how the two agree.

    Args:
        records: The records.
        attacks: The table of attacks.
    """
    found = [
        one | _drops(records, row) | _table2(str(one["dataset"]), float(one["kappa"]))
        for row, one in zip(records.rows.index, lines(attacks), strict=True)
        if one["method"] in (POISONING, CONVEX)
    ]
    return pd.DataFrame(found, columns=pd.Index(COLUMNS))


def _drops(records: Records, row: int) -> dict[str, float]:
    drop = column(records.targets[records.targets["row"] == row], "accuracy_drop")
    return _spread("drop", drop) | _spread("drop_cut", np.maximum(drop, 0))


def _spread(name: str, values: NDArray[np.float64]) -> dict[str, float]:
    interval = stats.mean_interval(values)
    return {f"{name}{end}": value for end, value in zip(_ENDS, interval, strict=True)}


def _table2(dataset: str, kappa: float) -> dict[str, Any]:
    known = beside(dataset)
    if known is None or kappa not in known.paper.specificity:
        return {"paper_data": "", "paper_victim": "", "paper_note": ""}
    return {
        "paper_data": known.data,
        "paper_victim": known.paper.architecture,
        "paper_drop": known.paper.specificity[kappa] / 100,
        "paper_stored": known.paper.curves[kappa].drop[-1] / 100,
        "paper_note": known.paper.table2,
    }


SPECIFICITY = Table(
    "specificity", lambda of: specificity(of.records, of.table(ATTACKS)), optional=True
)
