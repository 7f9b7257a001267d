"""A clause of the contract, and what looking at one component has shown of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from evil_twins.bench.cells.execute import reason
from evil_twins.bench.contract.state import Globals
from evil_twins.bench.errors import Fault

Outcome = Literal["passed", "warning", "failed"]


class Broken(Fault):
    """A clause is not kept; says in one line what was seen.

    Attributes:
        remedy: How just that is mended, if not as the clause says.
    """

    def __init__(self, seen: str, remedy: str = "") -> None:
        super().__init__(seen)
        self.remedy = remedy


class Doubtful(Exception):
    """A clause is kept, and yet something is most likely not as it was meant."""


@dataclass(frozen=True)
class Verdict:
    """What looking at a clause has shown.

    Attributes:
        outcome: "passed", "warning" or "failed".
        seen: What was seen, in one line; nothing where the clause is kept.
        remedy: How that is mended, where it is not as the clause says.
    """

    outcome: Outcome
    seen: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Clause:
    """One clause.

    Attributes:
        expected: What a component must do, in one line.
        remedy: How one that does not is mended, in one line.
        look: Looks at a case; raises `Broken` or `Doubtful`, or whatever the component raises.
        basis: Whether the clauses that follow rest on this one: they would fail with it.
    """

    expected: str
    remedy: str
    look: Callable[[Any], None]
    basis: bool = False

    @property
    def name(self) -> str:
        """Names the clause among those of its kind."""
        return self.look.__name__

    def judge(self, case: Any) -> Verdict:
        """Look at a case; the state of the process is afterwards what it was.

        Args:
            case: A `DetectorCase` or an `AttackCase`.
        """
        before = Globals.now()
        try:
            self.look(case)
        except Doubtful as doubt:
            return Verdict("warning", str(doubt))
        except BaseException as error:  # a user's code may raise anything, SystemExit included
            if isinstance(error, KeyboardInterrupt):
                raise
            return Verdict("failed", reason(error), getattr(error, "remedy", ""))
        finally:
            before.restore()
        return Verdict("passed")


def refuse_loose(made: Any) -> None:
    """Refuse an attack or a detector that is no frozen dataclass.

    Raises:
        Broken: It is none.
    """
    if not getattr(made, "__dataclass_params__", None) or not made.__dataclass_params__.frozen:
        raise Broken(f"{type(made).__name__} is no frozen dataclass")
