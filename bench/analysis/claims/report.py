"""Files of the verdicts: `claims.csv` for machines, `claims.md` for people."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.analysis.claims.gather import populations, with_retrained
from evil_twins.bench.analysis.claims.judge import judge
from evil_twins.bench.analysis.claims.judged import Judged
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.prose import markdown
from evil_twins.bench.analysis.claims.retraining import largest
from evil_twins.bench.analysis.claims.rules import rules
from evil_twins.bench.analysis.kept import writing
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.store import files as store

FILES = ("claims.csv", "claims.md", "retraining.csv")
"""Files that `write` makes; the last one only with records of re-trained victims."""

COLUMNS = ["dataset", "victim", "attack", "layers", "efficacy", "role", "rules", "claim", "verdict"]
COLUMNS += ["claim_p_above", "claim_p_below", "reason", "part", "counts", "reading", "victims"]
COLUMNS += ["value", "low", "high", "margin", "sign", "p_above", "p_below", "n", "values", "paper"]
COLUMNS += ["note"]


def judged(analysis: Analysis, suite: str, results: Path) -> list[Judged]:
    """Judge the claims on every population of a suite, the primary form first.

    The name of the suite decides which population is primary; `results` holds the suites of its
    re-trained victims, if they were run.
    """
    with threadpool_limits(1):  # sums change with the number of threads
        version = rules()
        sweeps = with_retrained(populations(analysis, version), results, suite)
        return [
            Judged(sweep, suite == version.primary.suite and sweep.is_primary, tuple(judge(sweep)))
            for sweep in sweeps
        ]


def write(results_dir: Path, suite: str, results: Path | None = None) -> list[Judged]:
    """Judge the claims of a suite and write `FILES` into its folder.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        suite: Its name.
        results: The folder with the suites of its re-trained victims; None: that of this suite.

    Returns:
        The verdicts, for `show`.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(results_dir)
    verdicts = judged(analysis, suite, results or results_dir.parent)
    contents = files(analysis, verdicts, suite)
    with writing(results_dir):
        for name in FILES:
            store.remove(results_dir / name, results_dir)
        for name, content in contents.items():
            store.write(results_dir / name, results_dir, content)
    return verdicts


def files(analysis: Analysis, verdicts: Sequence[Judged], suite: str) -> dict[str, bytes]:
    """Return the contents of `FILES`, by name."""
    table = largest([of for judged in verdicts for of in judged.population.victims])
    words = markdown(analysis, verdicts, suite).encode()
    contents = {"claims.csv": csv(frame(verdicts)), "claims.md": words}
    return contents | ({} if table.empty else {"retraining.csv": csv(table)})


def frame(verdicts: Sequence[Judged]) -> pd.DataFrame:
    """Return one line per population, claim and part; a claim without parts has one line."""
    lines = []
    for judged in verdicts:
        key = {
            **judged.population.key,
            "efficacy": judged.population.efficacy,
            "role": judged.role,
            "rules": judged.population.rules.version,
        }
        for verdict in judged.verdicts:
            p_values = {"claim_p_above": verdict.p_above, "claim_p_below": verdict.p_below}
            words = {"claim": verdict.letter, "verdict": verdict.outcome, "reason": verdict.reason}
            shared = key | p_values | words | {"paper": judged.paper(verdict)}
            lines += [shared | _part(part) for part in verdict.parts] or [shared]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS)).astype({"n": "Int64", "victims": "Int64"})


def _part(part: Part) -> dict[str, Any]:
    line = asdict(part)
    values = " ".join(f"{value:.6g}" for value in part.values)
    words = {"part": line.pop("name"), "counts": line.pop("role"), "sign": part.sign}
    return line | words | {"victims": len(part.values), "values": values}
