"""`evil-twins check`: judge one component by every clause of its kind."""

import json
from functools import lru_cache
from pathlib import Path

from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.components import registry
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.names import split_call
from evil_twins.bench.contract.attacks import ATTACK
from evil_twins.bench.contract.cases import AttackCase, DetectorCase
from evil_twins.bench.contract.clause import Verdict
from evil_twins.bench.contract.inspectors import INSPECTOR
from evil_twins.bench.contract.judging import World, elsewhere, show
from evil_twins.bench.contract.telling import DETECTOR
from evil_twins.bench.contract.worlds import attacker, defender
from evil_twins.bench.suite.defaults import filled
from evil_twins.detectors.base import Detector

CLAUSES = {"attack": ATTACK, "detector": DETECTOR, "inspector": INSPECTOR}


def check(method: str, device: str, limit: float, *, as_json: bool = False) -> int:
    """Judge an attack or a detector by its contract and print one line for each clause.

    Args:
        method: Its name in a suite, such as "file.py:Name(k=5)" with the file in the working
            directory.
        device: "cpu" or "cuda".
        limit: Seconds that each clause may take.
        as_json: Whether to print JSON in place of lines.

    Returns:
        0 if every clause is kept, with or without warnings; 1 if one is not.

    Raises:
        UserError: There is no such component, or it cannot be made.
    """
    kind, component = resolve(method)
    clauses, title = CLAUSES[kind], f"{kind} {component.spec['class']}"
    setting = World("digits, a victim and some attacks", world, (kind, device))
    results = elsewhere(setting, clauses, look, (kind, component, device), limit)
    return show(results, len(clauses), title, as_json=as_json)


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


def look(kind: str, component: Component, device: str, number: int) -> Verdict:
    """Judge one clause; later clauses use the results of the case."""
    parameters = json.dumps(dict(component.parameters), sort_keys=True)
    with exact(device):
        return CLAUSES[kind][number].judge(_case(kind, component.place, parameters, device))
