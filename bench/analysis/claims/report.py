"""Files of the verdicts: `claims.csv` for machines, `claims.md` for people."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench import printable
from evil_twins.bench.analysis.claims.evidence import Evidence, gather
from evil_twins.bench.analysis.claims.judge import Verdict, failures, judge, role
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.retraining import largest, with_retrained, words
from evil_twins.bench.analysis.claims.rules import ALIASES, Rules, rules
from evil_twins.bench.analysis.kept import writing
from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.audit import AUDIT
from evil_twins.bench.analysis.tables.records import STUDY
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.store import files as store

FILES = ("claims.csv", "claims.md", "retraining.csv")
"""Files that `write` makes; the last one only with records of the re-trained victim."""

COLUMNS = [*STUDY, "attack", "layers", "role", "rules", "claim", "verdict", "claim_p_above"]
COLUMNS += ["claim_p_below", "reason", "part", "counts", "value", "low", "high", "margin", "sign"]
COLUMNS += ["p_above", "p_below", "n", "paper", "note"]


@dataclass(frozen=True)
class Judged:
    """The verdicts on one sweep.

    Attributes:
        of: The evidence.
        role: "primary" or "replication".
        verdicts: One per claim, in the order of the rules.
    """

    of: Evidence
    role: str
    verdicts: tuple[Verdict, ...]

    @property
    def title(self) -> str:
        """The sweep in words, with its role."""
        key = self.of.scope.key
        attack = f"{key['attack']}, {key['layers']}" if key["attack"] else "no sweep along φ"
        return f"{text.study(key)}: {attack} ({self.role})"

    def claim(self, verdict: Verdict) -> str:
        """Return the claim of a verdict in words."""
        return self.of.rules.claims[verdict.letter].title

    def paper(self, verdict: Verdict) -> str:
        """Return the statement of the paper about a claim on this data set, or an empty string."""
        dataset = str(self.of.scope.key["dataset"])
        return self.of.rules.claims[verdict.letter].statement(ALIASES.get(dataset, dataset))


def judged(analysis: Analysis, suite: str, results: Path) -> list[Judged]:
    """Judge the claims on every sweep of a suite, the primary form first.

    The name of the suite decides which sweep is primary; `results` holds that of its re-trained
    victim, if it was run.
    """
    with threadpool_limits(1):  # sums change with the number of threads
        sweeps = with_retrained(gather(analysis, rules()), results, suite)
        return [Judged(of, role(of, suite), tuple(judge(of))) for of in sweeps]


def write(results_dir: Path, suite: str, results: Path | None = None) -> list[Judged]:
    """Judge the claims of a suite and write `FILES` into its folder.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        suite: Its name.
        results: The folder with the suite of its re-trained victim; None: that of this suite.

    Returns:
        The verdicts, for `show`.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    analysis = Analysis(results_dir)
    sweeps = judged(analysis, suite, results or results_dir.parent)
    contents = files(analysis, sweeps, suite)
    with writing(results_dir):
        for name in FILES:
            store.remove(results_dir / name, results_dir)
        for name, content in contents.items():
            store.write(results_dir / name, results_dir, content)
    return sweeps


def files(analysis: Analysis, sweeps: Sequence[Judged], suite: str) -> dict[str, bytes]:
    """Return the contents of `FILES`, by name."""
    table = largest([sweep.of for sweep in sweeps])
    words = markdown(analysis, sweeps, suite).encode()
    contents = {"claims.csv": csv(frame(sweeps)), "claims.md": words}
    return contents | ({} if table.empty else {"retraining.csv": csv(table)})


def frame(sweeps: Sequence[Judged]) -> pd.DataFrame:
    """Return one line per sweep, claim and part; a claim without parts has one line."""
    lines = []
    for sweep in sweeps:
        key = {**sweep.of.scope.key, "role": sweep.role, "rules": sweep.of.rules.version}
        for verdict in sweep.verdicts:
            p_values = {"claim_p_above": verdict.p_above, "claim_p_below": verdict.p_below}
            words = {"claim": verdict.letter, "verdict": verdict.outcome, "reason": verdict.reason}
            shared = key | p_values | words | {"paper": sweep.paper(verdict)}
            lines += [shared | _part(part) for part in verdict.parts] or [shared]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS)).astype({"n": "Int64"})


def _part(part: Part) -> dict[str, Any]:
    line = asdict(part)
    return line | {"part": line.pop("name"), "counts": line.pop("role"), "sign": part.sign}


def show(sweeps: Sequence[Judged], suite: str) -> list[Table]:
    """Return a table of verdicts for each sweep, for `rich` to print."""
    tables = []
    for sweep in sweeps:
        caption = Text(printable.name(f"{suite}: {sweep.title}"))
        table = Table(title=caption, title_justify="left", box=None, pad_edge=False)
        for head in ("", "claim", "verdict"):
            table.add_column(head, overflow="fold")
        for verdict in sweep.verdicts:
            cells = verdict.letter, sweep.claim(verdict), verdict.words
            table.add_row(*printable.cells(*cells))
        tables.append(table)
    return tables


def markdown(analysis: Analysis, sweeps: Sequence[Judged], suite: str) -> str:
    """Write the report: the audit, the claims on each sweep, the statements of the paper."""
    blocks = [f"# The paper's claims on {suite}\n\n", _audit(analysis, sweeps), _reading(rules())]
    for sweep in sweeps:
        blocks.append(f"\n## {sweep.title}\n\n{_targets(sweep.of)}\n\n")
        blocks += [_summary(sweep), "\n", _details(sweep)]
    blocks.append(words(largest([sweep.of for sweep in sweeps])))
    return "".join([*blocks, "\n", _paper(rules())])


def _audit(analysis: Analysis, sweeps: Sequence[Judged]) -> str:
    """Write the audit's table, and its consequences for the claims."""
    lines = []
    for sweep in sweeps:
        failed = failures(sweep.of)
        passed = sorted(set(sweep.of.audited["attack"]))
        state = f"passed ({', '.join(passed)}); an endpoint that is not named has no rival here"
        if failed:
            state = (
                f"failed for {', '.join(failed)}: claims that divide by an endpoint are undecided"
            )
        elif not passed:
            state = "not done: the suite holds no rival of these endpoints"
        lines.append(f"- {sweep.title}: {state}.\n")
    shown = ""
    if AUDIT.markdown and len(analysis.table(AUDIT)):
        shown = AUDIT.markdown(analysis).split("\n", 1)[1].lstrip() + "\n"
    return "## Audit of the endpoints\n\n" + shown + "".join(lines) + "\n"


def _reading(version: Rules) -> str:
    test, primary = version.test, version.primary
    return (
        "## How to read the verdicts\n\n"
        f"Rules of version {version.version}, fixed before any run. One-sided p-values against the "
        f"margin from {test.resamples:,} bootstrap samples (crossed, targets × R, where "
        "disagreement on R is concerned), none below 1/2 to the power of the targets; a claim of "
        "several parts takes the largest, on either side. Holm over all "
        f"{len(version.claims)} claims, those without data counted with p = 1. *Holds*: adjusted "
        f"p < {test.level:g} above the margin; *does not hold*: the same below it; *undecided* "
        "otherwise. Statistics rest on the targets that are at κ in every row they need, "
        "evasion and rounds on all. A condition must be met for a claim to hold, but does not "
        f"refute it. κ is {primary.kappa:g} where nothing else is said.\n\n"
        f"Judged is `{primary.attack}` of `{primary.suite}`, victim seed {primary.seed}; "
        "everything else is a replication, to be read by the signs of value − margin.\n"
    )


def _targets(of: Evidence) -> str:
    """Write the number of targets, their lists, and the hash of their names."""
    targets = of.targets(of.rows)
    names = sorted(set(targets["target_id"]))
    lists = ", ".join(sorted(set(targets["list"]))) or "none"
    mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return f"{len(names)} targets of the list: {lists}; hash of their names {mark}."


def _summary(sweep: Judged) -> str:
    lines = [
        [
            f"**{verdict.letter}** {sweep.claim(verdict)}",
            verdict.words,
            verdict.signs,
            text.p_value(verdict.p_above),
            text.p_value(verdict.p_below),
        ]
        for verdict in sweep.verdicts
    ]
    header = ["claim", "verdict", "signs", "p above (Holm)", "p below (Holm)"]
    return text.markdown(header, lines, text_columns=2)


def _details(sweep: Judged) -> str:
    header = ["", "statistic", "counts as", "value", "95 %", "margin", "p above", "p below", "n"]
    lines = [
        [
            verdict.letter,
            part.name,
            part.role,
            text.number(part.value),
            "" if isnan(part.low) else f"{text.number(part.low)} to {text.number(part.high)}",
            f"{part.margin:g}",
            text.p_value(part.p_above),
            text.p_value(part.p_below),
            str(part.n or ""),
            sweep.paper(verdict),
            part.note,
        ]
        for verdict in sweep.verdicts
        for part in verdict.parts
    ]
    return text.markdown([*header, "paper", "note"], lines, text_columns=3)


def _paper(version: Rules) -> str:
    """Write the statistic of each claim, and the statements of the paper."""
    lines = ["## The statistics, and what the paper says\n\n"]
    for letter, rule in version.claims.items():
        lines.append(f"- **{letter}** {rule.statistic}.\n")
        lines += [f"  - {name}: {words}.\n" for name, words in rule.paper.items()]
    return "".join(lines)
