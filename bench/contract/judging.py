"""Judge a case by the clauses of its kind in another process, and print the verdicts."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.text import Text

from evil_twins.bench import printable
from evil_twins.bench.contract.clause import Clause, Outcome, Verdict
from evil_twins.bench.run import guard
from evil_twins.bench.run.screen import errors


@dataclass(frozen=True)
class World:
    """The world of a case, which is made before the first clause.

    Attributes:
        title: Its content, in a few words.
        make: Makes it in the other process.
        arguments: The arguments of `make`.
    """

    title: str
    make: Callable[..., None]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Result:
    """One clause and its verdict.

    Attributes:
        clause: Name of the clause among those of its kind.
        expected: The duty, in one line.
        outcome: "passed", "warning", "failed" or "n/a".
        fault: The observation, or why the clause does not apply; "" if it passed.
        remedy: The remedy; "" without a fault.
        note: Measured facts; often "".
    """

    clause: str
    expected: str
    outcome: Outcome
    fault: str
    remedy: str
    note: str

    @classmethod
    def of(cls, clause: Clause, verdict: Verdict) -> "Result":
        """Combine a clause and its verdict."""
        advised = verdict.outcome in ("failed", "warning")
        remedy = (verdict.remedy or clause.remedy) if advised else ""
        facts = clause.name, clause.expected, verdict.outcome
        return cls(*facts, verdict.fault, remedy, verdict.note)


def judged(
    clauses: Sequence[Clause], judge: Callable[[int], Verdict], failed: Iterable[str] = ()
) -> Iterator[Result]:
    """Yield the result of each clause, but of those that rest on a failed one.

    Args:
        clauses: The clauses of a kind, in order.
        judge: Judges the clause at a position.
        failed: Names of clauses that have failed before.
    """
    unsound = set(failed)
    for number, clause in enumerate(clauses):
        if not unsound.isdisjoint(clause.after):
            unsound.add(clause.name)
            continue
        verdict = judge(number)
        yield Result.of(clause, verdict)
        if verdict.outcome == "failed":
            unsound.add(clause.name)


def elsewhere(
    world: World,
    clauses: Sequence[Clause],
    look: Callable[..., Verdict],
    arguments: tuple[Any, ...],
    limit: float,
) -> Iterator[Result]:
    """Yield the result of each clause, judged in another process.

    Args:
        world: The world of the case.
        clauses: The clauses of its kind.
        look: Judges the clause at the position of its last argument.
        arguments: The other arguments of `look`.
        limit: Seconds that each clause may take.

    Raises:
        guard.Lost: The process died while it made the world.
        UserError: The world cannot be made.
    """
    console = errors()
    with guard.lane() as lane:
        with console.status(Text(world.title)):
            lane.submit(guard.isolated, world.make, world.arguments, None).result()

        def judge(number: int) -> Verdict:
            with console.status(Text(clauses[number].expected)):
                try:
                    each = (*arguments, number)
                    return lane.submit(guard.isolated, look, each, limit).result()
                except guard.Lost as lost:
                    return Verdict("failed", lost.why, lost.remedy)

        yield from judged(clauses, judge)


def show(results: Iterable[Result], count: int, title: str, *, as_json: bool) -> int:
    """Print the results, one to three lines each, and a summary.

    Args:
        results: The results; each is printed when it is known.
        count: Number of the clauses of this kind.
        title: Name of the case in the summary.
        as_json: Whether to print one object of JSON on one line instead.

    Returns:
        1 if a clause failed, else 0.
    """
    rows = []
    for row in results:
        rows.append(row)
        if not as_json:
            _show_lines(row)
    outcomes = [row.outcome for row in rows]
    counts = {outcome: outcomes.count(outcome) for outcome in dict.fromkeys(outcomes)}
    skipped = count - len(rows)
    if as_json:
        content = {"name": title, "skipped": skipped, "clauses": [asdict(row) for row in rows]}
        printable.say(json.dumps(content))
    else:
        summary = [f"{number} {outcome}" for outcome, number in counts.items()]
        summary += [f"{skipped} not looked at, as they rest on what failed"] if skipped else []
        printable.say(f"{title}: {', '.join(summary)}")
    return int("failed" in counts)


def _show_lines(row: Result) -> None:
    """Print the outcome and the duty, and under them observation and remedy, or facts."""
    lines = {"why" if row.outcome == "n/a" else "seen": row.fault, "remedy": row.remedy}
    printable.say(f"{row.outcome:8} {row.expected}")
    for word, text in (lines | {"measured": row.note}).items():
        if text:
            printable.say(f"{'':8}   {word}: {text}")
