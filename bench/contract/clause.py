"""A clause of the contract, and the verdict on one component."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from evil_twins.bench.components.containment import component_runs
from evil_twins.bench.errors import Fault, reason

Outcome = Literal["passed", "warning", "failed"]


class Broken(Fault):
    """A clause is broken, and how: in one line, with a remedy if it is not that of the clause."""

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(fault)
        self.remedy = remedy


class Doubtful(Exception):
    """A clause is kept, but something is most likely a mistake."""


@dataclass(frozen=True)
class Verdict:
    """The result of one clause, with the observed fault in one line; empty if the clause passed.

    The remedy is that for this case, if it is not that of the clause.
    """

    outcome: Outcome
    fault: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Clause:
    """One clause.

    Attributes:
        expected: The duty of a component, in one line.
        remedy: The remedy for a component that breaks it, in one line.
        look: Judges a case; raises `Broken` or `Doubtful`, or any error of the component.
        after: Names of the clauses that this one rests on; where one failed, it is not judged.
    """

    expected: str
    remedy: str
    look: Callable[[Any], None]
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the clause among those of its kind."""
        return self.look.__name__

    def judge(self, case: Any) -> Verdict:
        """Judge an `AttackCase` or a `DetectorCase`, and restore the state of the process."""
        try:
            with component_runs():
                self.look(case)
        except Doubtful as doubt:
            return Verdict("warning", str(doubt))
        except Exception as error:  # a user's code may raise anything
            remedy = error.remedy if isinstance(error, Broken) else ""
            return Verdict("failed", reason(error), remedy)
        return Verdict("passed")


def clause(
    remedy: str, *, after: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], None]], Clause]:
    """Make a clause of a function; its docstring is the duty, as `check` prints it."""

    def decorate(look: Callable[[Any], None]) -> Clause:
        duty = (look.__doc__ or "").strip().removesuffix(".")
        return Clause(duty[:1].lower() + duty[1:], remedy, look, after)

    return decorate


def refuse_loose(component: Any) -> None:
    """Raise `Broken` for an attack or a detector that is no frozen dataclass."""
    facts = getattr(component, "__dataclass_params__", None)
    if facts is None or not facts.frozen:
        raise Broken(f"{type(component).__name__} is no frozen dataclass")
