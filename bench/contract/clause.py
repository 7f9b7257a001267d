"""A clause of the contract, and the verdict on one component."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from evil_twins.bench.components.containment import component_runs
from evil_twins.bench.errors import Fault, reason

Outcome = Literal["passed", "warning", "failed", "n/a"]


class Broken(Fault):
    """A clause is broken, and how: in one line, with a remedy if it is not that of the clause."""

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(fault)
        self.remedy = remedy


class Doubtful(Exception):
    """A clause is kept, but something is most likely a mistake, or limits the use."""

    def __init__(self, fault: str, remedy: str = "") -> None:
        super().__init__(fault)
        self.remedy = remedy


class Inapplicable(Exception):
    """A clause does not apply, and why."""


@dataclass(frozen=True)
class Verdict:
    """The result of one clause.

    Attributes:
        outcome: The result; "n/a" if the clause does not apply.
        fault: The observed fault, or why the clause does not apply, in one line; or "".
        remedy: The remedy for this case, if it is not that of the clause.
        note: Measured facts of a clause that passed, or "".
    """

    outcome: Outcome
    fault: str = ""
    remedy: str = ""
    note: str = ""


@dataclass(frozen=True)
class Clause:
    """One clause.

    Attributes:
        expected: The duty of a component, in one line.
        remedy: The remedy for a component that breaks it, in one line.
        look: Judges a case, and returns measured facts or None; raises `Broken`, `Doubtful`,
            `Inapplicable`, or any error of the component.
        after: Names of the clauses that this one rests on; where one failed, it is not judged.
    """

    expected: str
    remedy: str
    look: Callable[[Any], str | None]
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the clause among those of its kind."""
        return self.look.__name__

    def judge(self, case: Any) -> Verdict:
        """Judge a case of this kind of clauses, and restore the state of the process."""
        try:
            with component_runs():
                note = self.look(case)
        except Inapplicable as why:
            return Verdict("n/a", str(why))
        except Doubtful as doubt:
            return Verdict("warning", str(doubt), doubt.remedy)
        except Exception as error:  # a user's code may raise anything
            remedy = error.remedy if isinstance(error, Broken) else ""
            return Verdict("failed", reason(error), remedy)
        return Verdict("passed", note=note or "")


def clause(
    remedy: str, *, after: tuple[str, ...] = ()
) -> Callable[[Callable[[Any], str | None]], Clause]:
    """Make a clause of a function; its docstring is the duty, as `check` prints it."""

    def decorate(look: Callable[[Any], str | None]) -> Clause:
        duty = (look.__doc__ or "").strip().removesuffix(".")
        return Clause(duty[:1].lower() + duty[1:], remedy, look, after)

    return decorate


def refuse_loose(component: Any) -> None:
    """Raise `Broken` for an attack or a detector that is no frozen dataclass."""
    facts = getattr(component, "__dataclass_params__", None)
    if facts is None or not facts.frozen:
        raise Broken(f"{type(component).__name__} is no frozen dataclass")
