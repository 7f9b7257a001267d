"""The verdicts as files: `claims.csv` for machines, `claims.md` for people."""

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

from evil_twins.bench.analysis.claims.evidence import Evidence, gather
from evil_twins.bench.analysis.claims.judge import Verdict, failures, judge, role
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.retraining import largest, with_retrained, words
from evil_twins.bench.analysis.claims.rules import ALIASES, Rules, rules
from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.audit import AUDIT
from evil_twins.bench.analysis.tables.records import STUDY, Records, read

FILES = ("claims.csv", "claims.md", "retraining.csv")
"""What `write` leaves; the last one only beside records of the victim re-trained."""

COLUMNS = [*STUDY, "attack", "layers", "role", "rules", "claim", "verdict", "claim_p_above"]
COLUMNS += ["claim_p_below", "reason", "part", "counts", "value", "low", "high", "margin", "sign"]
COLUMNS += ["p_above", "p_below", "n", "paper", "note"]


@dataclass(frozen=True)
class Judged:
    """The claims on one sweep.

    Attributes:
        of: The evidence.
        role: "primary" or "replication".
        verdicts: One a claim, in the order of the rules.
    """

    of: Evidence
    role: str
    verdicts: tuple[Verdict, ...]

    def said(self, letter: str) -> str:
        """What the paper says of this claim on this data set; empty if nothing is known."""
        dataset = str(self.of.scope.key["dataset"])
        return self.of.rules.claims[letter].said(ALIASES.get(dataset, dataset))


def judged(records: Records, suite: str, results: Path) -> list[Judged]:
    """The claims on every sweep of a suite, the primary form first.

    Args:
        records: The records.
        suite: Its name, which decides what is primary.
        results: Where the suite of its re-trained victim lies, if it was run.
    """
    with threadpool_limits(1):  # sums change with the number of threads
        found = with_retrained(gather(records, rules()), results, suite)
        return [Judged(of, role(of, suite), tuple(judge(of))) for of in found]


def write(results_dir: Path, suite: str, results: Path | None = None) -> list[Judged]:
    """Judge the claims of a suite and write `FILES` beside its tables.

    Args:
        results_dir: `<results>/<suite>`, with the records of a run.
        suite: Its name.
        results: Where the suite of its re-trained victim lies; None: beside this one.

    Returns:
        What was written, for `show`.

    Raises:
        UserError: Records are missing, damaged or of another version.
    """
    records = read(results_dir)
    found = judged(records, suite, results or results_dir.parent)
    for name in FILES:
        (results_dir / name).unlink(missing_ok=True)
    for name, content in files(records, found, suite).items():
        (results_dir / name).write_bytes(content)
    return found


def files(records: Records, found: Sequence[Judged], suite: str) -> dict[str, bytes]:
    """The contents of `FILES`, by name."""
    table = largest([one.of for one in found])
    made = {"claims.csv": _csv(frame(found)), "claims.md": markdown(records, found, suite)}
    made |= {} if table.empty else {"retraining.csv": _csv(table)}
    return {name: content.encode() for name, content in made.items()}


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def frame(found: Sequence[Judged]) -> pd.DataFrame:
    """One line per sweep, claim and part; a claim that has no parts has one line without them."""
    lines = []
    for one in found:
        for verdict in one.verdicts:
            shared = {
                **one.of.scope.key,
                "role": one.role,
                "rules": one.of.rules.version,
                "claim": verdict.letter,
                "verdict": verdict.outcome,
                "claim_p_above": verdict.p_above,
                "claim_p_below": verdict.p_below,
                "reason": verdict.reason,
                "paper": one.said(verdict.letter),
            }
            lines += [shared | _part(part) for part in verdict.parts] or [shared]
    return pd.DataFrame(lines, columns=pd.Index(COLUMNS)).astype({"n": "Int64"})


def _part(part: Part) -> dict[str, Any]:
    given = asdict(part)
    return given | {"part": given.pop("name"), "counts": given.pop("role"), "sign": part.sign}


def show(found: Sequence[Judged], suite: str) -> list[Table]:
    """A table of verdicts for each sweep, for `rich` to print."""
    tables = []
    for one in found:
        caption = Text(f"{suite}: {title(one)}")
        table = Table(title=caption, title_justify="left", box=None, pad_edge=False)
        for head in ("", "claim", "verdict"):
            table.add_column(head, overflow="fold")
        for verdict in one.verdicts:
            words = (one.of.rules.claims[verdict.letter].title, _verdict(verdict))
            table.add_row(verdict.letter, *map(Text, words))
        tables.append(table)
    return tables


def markdown(records: Records, found: Sequence[Judged], suite: str) -> str:
    """The report: the audit first, then the claims on each sweep, then what the paper says."""
    given = rules()
    parts = [f"# The paper's claims on {suite}\n\n", _audit(records, found), _reading(given)]
    for one in found:
        parts.append(f"\n## {title(one)}\n\n{_targets(one.of)}\n\n")
        parts += [_summary(one), "\n", _details(one)]
    parts.append(words(largest([one.of for one in found])))
    return "".join([*parts, "\n", _paper(given)])


def title(one: Judged) -> str:
    """A sweep in words, with its role."""
    key = one.of.scope.key
    attack = f"{key['attack']}, {key['layers']}" if key["attack"] else "no sweep along φ"
    return f"{text.study(key)}: {attack} ({one.role})"


def _audit(records: Records, found: Sequence[Judged]) -> str:
    """The audit's table, and what it means for the claims."""
    analysis = Analysis(records, add_any=False)
    table = analysis.table(AUDIT)
    lines = []
    for one in found:
        failed = failures(one.of)
        passed = sorted(set(one.of.audited["attack"]))
        state = f"passed ({', '.join(passed)}); an endpoint that is not named has no rival here"
        if failed:
            state = f"failed for {', '.join(failed)}: what is divided by an endpoint is undecided"
        elif not passed:
            state = "not done: the suite holds no rival of these endpoints"
        lines.append(f"- {title(one)}: {state}.\n")
    page = AUDIT.markdown(analysis) if AUDIT.markdown and len(table) else ""
    shown = page.split("\n", 1)[1].lstrip() + "\n" if page else ""
    return "## Audit of the endpoints\n\n" + shown + "".join(lines) + "\n"


def _reading(given: Rules) -> str:
    test, primary = given.test, given.primary
    return (
        "## How to read the verdicts\n\n"
        f"Rules of version {given.version}, fixed before any run. One-sided p-values against the "
        f"margin from {test.resamples:,} bootstrap samples (crossed, targets × R, where "
        "disagreement on R is concerned), none below 1/2 to the power of the targets; a claim of "
        "several parts takes the largest, on either side. Holm over all "
        f"{len(given.claims)} claims, those without data counted with p = 1. *Holds*: adjusted "
        f"p < {test.level:g} above the margin; *does not hold*: the same below it; *undecided* "
        "otherwise. Statistics rest on the targets that are at κ in every row they need, "
        "evasion and rounds on all. A condition must be met for a claim to hold, but does not "
        f"refute it. κ is {primary.kappa:g} where nothing else is said.\n\n"
        f"Judged is `{primary.attack}` of `{primary.suite}`, victim seed {primary.seed}; "
        "everything else is a replication, to be read by the signs of value − margin.\n"
    )


def _targets(of: Evidence) -> str:
    """How many targets of which list, and the hash of their names."""
    mine = of.records.targets[of.records.targets["row"].isin(of.rows)]
    names = sorted(set(mine["target_id"]))
    lists = ", ".join(sorted(set(mine["list"]))) or "none"
    mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return f"{len(names)} targets of the list: {lists}; hash of their names {mark}."


def _verdict(verdict: Verdict) -> str:
    return f"{verdict.outcome}: {verdict.reason}" if verdict.reason else verdict.outcome


def _summary(one: Judged) -> str:
    lines = [
        [
            f"**{verdict.letter}** {one.of.rules.claims[verdict.letter].title}",
            _verdict(verdict),
            verdict.signs,
            text.p_value(verdict.p_above),
            text.p_value(verdict.p_below),
        ]
        for verdict in one.verdicts
    ]
    header = ["claim", "verdict", "signs", "p above (Holm)", "p below (Holm)"]
    return text.markdown(header, lines, left=2)


def _details(one: Judged) -> str:
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
            one.said(verdict.letter),
            part.note,
        ]
        for verdict in one.verdicts
        for part in verdict.parts
    ]
    return text.markdown([*header, "paper", "note"], lines, left=3)


def _paper(given: Rules) -> str:
    """Every value of the paper that is known, and the statistic of each claim."""
    lines = ["## The statistics, and what the paper says\n\n"]
    for letter, rule in given.claims.items():
        lines.append(f"- **{letter}** {rule.statistic}.\n")
        lines += [f"  - {name}: {said}.\n" for name, said in rule.paper.items()]
    return "".join(lines)
