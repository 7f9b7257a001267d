"""`evil-twins check`: judge one component by every clause of its kind."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from rich.text import Text

from evil_twins.bench import printable
from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.components import registry
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.names import split_call
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.contract.cases import AttackCase, DetectorCase
from evil_twins.bench.contract.clause import Clause, Verdict
from evil_twins.bench.contract.inspectors import INSPECTOR
from evil_twins.bench.contract.telling import DETECTOR
from evil_twins.bench.contract.worlds import attacker, defender
from evil_twins.bench.run import guard
from evil_twins.bench.run.screen import errors
from evil_twins.bench.suite.defaults import filled
from evil_twins.detectors.base import Detector

CLAUSES = {"attack": ATTACK, "detector": DETECTOR, "inspector": INSPECTOR}


def check(method: str, device: str, limit: float) -> int:
    """Judge an attack or a detector by its contract and print one line for each clause.

    `method` is its name in a suite, such as "file.py:Name(k=5)" with the file in the working
    directory; `device` is "cpu" or "cuda"; `limit` has the seconds that each clause may take.

    Returns:
        0 if every clause is kept, with or without warnings; 1 if one is not.

    Raises:
        UserError: There is no such component, or it cannot be made.
    """
    kind, component = resolve(method)
    counts: dict[str, int] = {}
    for clause, verdict in verdicts(kind, component, device, limit):
        counts[verdict.outcome] = counts.get(verdict.outcome, 0) + 1
        printable.say(f"{verdict.outcome:8} {clause.expected}")
        if verdict.fault:
            remedy = verdict.remedy or clause.remedy
            printable.say(f"{'':8}   seen: {verdict.fault}")
            printable.say(f"{'':8}   remedy: {remedy}")
    skipped = len(CLAUSES[kind]) - sum(counts.values())
    summary = [f"{count} {outcome}" for outcome, count in counts.items()]
    summary += [f"{skipped} not looked at, as they rest on what failed"] if skipped else []
    printable.say(f"{kind} {component.spec['class']}: {', '.join(summary)}")
    return int("failed" in counts)


def verdicts(
    kind: str, component: Component, device: str, limit: float
) -> Iterator[tuple[Clause, Verdict]]:
    """Yield the clauses of a kind with their verdicts, but those that rest on a failed one.

    Each clause is judged in another process and may take `limit` seconds.
    """
    console, unsound = errors(), set[str]()
    with guard.lane() as lane:
        with console.status("digits, a victim and some attacks"):
            lane.submit(guard.isolated, world, (kind, device), None).result()
        for number, clause in enumerate(CLAUSES[kind]):
            if not unsound.isdisjoint(clause.after):
                unsound.add(clause.name)
                continue
            arguments = (kind, component, number, device)
            with console.status(Text(clause.expected)):
                try:
                    verdict = lane.submit(guard.isolated, look, arguments, limit).result()
                except guard.Lost as lost:
                    verdict = Verdict("failed", lost.why, lost.remedy)
            yield clause, verdict
            if verdict.outcome == "failed":
                unsound.add(clause.name)


def resolve(method: str) -> tuple[str, Component]:
    """Return kind and component of a name, with values for parameters without a default.

    A detector of models is of the kind "inspector".

    Raises:
        UserError: There is no such component, or it cannot be made.
    """
    name, parameters = split_call(method)
    kind = registry.kind_of(name, Path.cwd())
    entry = registry.find(kind, name, Path.cwd())
    component = registry.configure(entry, filled(entry.load(), parameters), kind, method)
    inspects = kind == "detector" and not isinstance(component.build(), Detector)
    return "inspector" if inspects else kind, component


def world(kind: str, device: str) -> None:
    """Make the world for the clauses of a kind, and keep it in this process."""
    with exact(device):
        (attacker if kind == "attack" else defender)(device)


@lru_cache(maxsize=1)
def _case(kind: str, place: str, parameters: str, device: str) -> AttackCase | DetectorCase:
    built = Component(place, json.loads(parameters)).build()
    if kind == "attack":
        return AttackCase(built, attacker(device))
    return DetectorCase(built, defender(device))


def look(kind: str, component: Component, number: int, device: str) -> Verdict:
    """Judge one clause; later clauses use the results of the case."""
    parameters = json.dumps(dict(component.parameters), sort_keys=True)
    with exact(device):
        return CLAUSES[kind][number].judge(_case(kind, component.place, parameters, device))
