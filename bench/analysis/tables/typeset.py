"""Detection rates for a paper: Markdown, CSV or LaTeX, the best detector of each attack marked."""

from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables import frames, text
from evil_twins.bench.analysis.tables.any_of import NAME, with_any
from evil_twins.bench.analysis.tables.decisions import ALPHA, decisions
from evil_twins.bench.analysis.tables.families import CONTROLS
from evil_twins.bench.analysis.tables.records import KEYS, STUDY, Records, read

Form = Literal["md", "csv", "latex"]
_COLUMNS = [*KEYS, "detector", "n", "detected", "rate", "low", "high", "best"]
_LATEX = {mark: f"\\{mark}" for mark in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "κ": r"$\kappa$",
    "φ": r"$\varphi$",
    "λ": r"$\lambda$",
}


def typeset(results_dir: Path, form: Form) -> str:
    """The rates at the headline false-positive rate: detectors down, the attacks at one κ across.

    Best is the detector that flags most targets of an attack, all of them where several do. The OR
    of all is no candidate, and of a control, which nobody need catch, nothing is best.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        form: "csv" has one line a rate, the others one table a study and κ.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    records = read(results_dir)
    table = rates(records)
    if form == "csv":
        given = table.merge(records.rows, left_on="row", right_index=True)
        made = given[_COLUMNS].astype({"best": int})
        return made.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    made_of = _markdown if form == "md" else _latex
    share = f"Targets flagged at a false-positive rate of {100 * ALPHA:g} %, in %"
    blocks = [made_of(f"{share}: {title}.", *grid) for title, grid in _grids(records, table, form)]
    return "\n".join(blocks)


def rates(records: Records) -> pd.DataFrame:
    """One line per row and detector: row, detector, n, detected, rate, low, high, best."""
    decided = decisions(with_any(records))
    lines = []
    for (row, detector), part in decided.groupby(["row", "detector"], sort=True):
        k, n = int(part["flagged"].sum()), len(part)
        rate = stats.clopper_pearson(k, n)
        candidate = detector != NAME and records.rows.at[row, "method"] not in CONTROLS
        own = {"row": row, "detector": detector, "n": n, "detected": k, "rate": rate.value}
        lines.append(own | {"low": rate.low, "high": rate.high, "best": candidate and k > 0})
    names = ["row", "detector", "n", "detected", "rate", "low", "high", "best"]
    table = pd.DataFrame(lines, columns=pd.Index(names))
    most = table["rate"].where(table["best"].astype(bool), -np.inf).groupby(table["row"])
    table["best"] = table["best"].astype(bool) & table["rate"].eq(most.transform("max"))
    return table


_Grid = tuple[list[str], list[list[str]]]


def _grids(records: Records, table: pd.DataFrame, form: Form) -> Iterator[tuple[str, _Grid]]:
    """A title, a header and lines for each study and κ."""
    known = {(one["row"], one["detector"]): one for one in frames.lines(table)}
    detectors = sorted(set(table["detector"]), key=lambda name: (name == NAME, name))
    for _, rows in records.rows.groupby([*STUDY, "kappa"], dropna=False, sort=True):
        order = text.ordered(rows)
        kappa = float(rows["kappa"].iloc[0])
        plain = [frames.line(rows, row) | {"kappa": float("nan")} for row in order]
        level = "no κ" if isnan(kappa) else f"κ {text.short(kappa)}"
        cells = [[_cell(known.get((row, name)), form) for row in order] for name in detectors]
        lines = [[name, *own] for name, own in zip(detectors, cells, strict=True)]
        if lines:
            title = f"{text.study(plain[0])}, {level}"
            yield title, (["detector", *map(text.name, plain)], lines)


def _cell(one: dict[str, float] | None, form: Form) -> str:
    if one is None:
        return ""
    rate = text.number(100 * one["rate"])
    if one["best"]:
        rate = f"**{rate}**" if form == "md" else rf"\textbf{{{rate}}}"
    return f"{rate} [{100 * one['low']:.0f}, {100 * one['high']:.0f}]"


def _markdown(title: str, header: list[str], lines: list[list[str]]) -> str:
    return f"{title}\n\n{text.markdown(header, lines)}"


def _latex(title: str, header: list[str], lines: list[list[str]]) -> str:
    rows = [[_escaped(line[0]), *line[1:]] for line in lines]
    body = "".join(" & ".join(row) + " \\\\\n" for row in rows)
    return (
        "% needs \\usepackage{booktabs}\n"
        f"% {title}\n"
        f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}\n\\toprule\n"
        f"{' & '.join(map(_escaped, header))} \\\\\n\\midrule\n{body}"
        "\\bottomrule\n\\end{tabular}\n"
    )


def _escaped(words: str) -> str:
    return "".join(_LATEX.get(mark, mark) for mark in text.one_line(words))
