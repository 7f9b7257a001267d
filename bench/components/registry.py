"""Attacks and detectors by name: found, given their parameters, checked, described.

`method` in a suite is a name that `evil-twins list` shows, "package.module:Name", or "file.py:Name"
with the file beside the suite. A name stands for a frozen dataclass; a detector may also be a plain
function or class.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.components.adapters import PACKAGES, POISONS, WATCHERS, named
from evil_twins.bench.components.component import Component, _NoSuchName, inspects
from evil_twins.bench.components.names import GROUPS, registry
from evil_twins.bench.components.parameters import checked, parameters
from evil_twins.bench.errors import UserError, unknown

KNOWLEDGE = ("K0", "K1", "K2", "K3")
MEMBERS = {
    "attack": ("kappa", "nature", "__call__"),
    "detector": ("knowledge", "preparation", "fit"),
}
INSPECTOR = ("knowledge", "preparation", "inspect")
"""Members of a detector of models, which has no `fit`."""


def _place(kind: str, method: str, folder: Path) -> str:
    if ":" not in method:
        known = registry(kind)
        if method not in known:
            raise _nameless(kind, method, known)
        return known[method]
    where, _, name = method.rpartition(":")
    if where in PACKAGES:
        return _adapter(where, name)
    return f"{(folder / where).resolve()}:{name}" if where.endswith(".py") else method


def _adapter(package: str, name: str) -> str:
    known = named(package)
    if name not in known:
        raise unknown(f"{package}: name", name, [one for one, why in known.items() if not why])
    if package == "ood":
        return f"evil_twins.bench.components.adapters.ood:{name}"
    file = "watching" if name in WATCHERS else "poisons" if name in POISONS else "toolbox"
    return f"evil_twins.bench.components.adapters.{file}:{name}"


def _nameless(kind: str, method: str, known: Iterable[str]) -> UserError:
    """What is said of a word that no list has, perhaps a file without a name in it."""
    if "." in method:
        return UserError(
            f"{method!r} is a file or a module, not the {kind} in it\n"
            f"remedy: {method}:Name, or a name of `evil-twins list`"
        )
    return unknown(kind, method, known)


def _said(error: Exception) -> str:
    """What a user's code raised, in one line."""
    if isinstance(error, _NoSuchName):
        return str(error)
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


def find(kind: str, method: str, folder: Path) -> Component:
    """The component of a name, without parameters.

    Args:
        kind: "attack" or "detector".
        method: As a suite gives it.
        folder: Where the suite lies.

    Raises:
        UserError: No such name, file, module or class.
    """
    try:
        component = Component(_place(kind, method, folder), {})
        found = component.load()
    except UserError:
        raise
    except Exception as error:  # a user's file may raise anything
        raise UserError(
            f"cannot load the {kind} {method!r}: {_said(error)}\n"
            f"remedy: {_remedy(error, method, folder)}"
        ) from error
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        more = ", a class with fit(self, view), or a function score(model, x)"
        raise UserError(
            f"{kind} {method!r} is not a dataclass{_sort(found, kind)}\n"
            "expected: a frozen dataclass whose fields are the parameters"
            f"{more if kind == 'detector' else ''}"
        )
    return component


def trouble(kind: str, name: str) -> str:
    """Why what another package offers under a name cannot be used, in one line; or nothing.

    Args:
        kind: "attack" or "detector".
        name: Of the list.
    """
    try:
        find(kind, name, Path.cwd())
    except UserError as error:
        return str(error).splitlines()[0]
    return ""


def _remedy(error: Exception, method: str, folder: Path) -> str:
    where, _, name = method.rpartition(":")
    absent = not where or (
        not (folder / where).is_file()
        if where.endswith(".py")
        else isinstance(error, ModuleNotFoundError) and f"{where}.".startswith(f"{error.name}.")
    )
    if not absent and not isinstance(error, _NoSuchName):
        return f"mend {where}, which raises that when it is loaded"
    file = f"{where}.py:{name}" if (folder / f"{where}.py").is_file() else "file.py:Name"
    return f"a name of `evil-twins list`, module:Name, or {file} in {folder.resolve()}"


def kind_of(method: str, folder: Path) -> str:
    """Whether a name stands for an "attack" or a "detector".

    Args:
        method: As a suite gives it, without parameters.
        folder: Where files are looked for.

    Raises:
        UserError: No such name, file, module or class.
    """
    if ":" in method:
        found = find("detector", method, folder).load()
        return "attack" if "__call__" in dir(found) and not hasattr(found, "fit") else "detector"
    kinds = {name: kind for kind in GROUPS for name in registry(kind)}
    if method not in kinds:
        raise _nameless("attack or detector", method, kinds)
    return kinds[method]


def _sort(found: Any, kind: str) -> str:
    """What something is that is no attack and no detector."""
    if isinstance(found, type):
        return " and has no `fit`" if kind == "detector" else ""
    if callable(found):
        return " but a function" + (" of too few arguments" if kind == "detector" else "")
    return f" but of type {type(found).__name__}"


def configure(component: Component, given: Mapping[str, Any], kind: str, label: str) -> Component:
    """The component with all its parameters, checked.

    Args:
        component: What `find` returned.
        given: Parameters by name, as a suite states them.
        kind: "attack" or "detector".
        label: What the suite calls it.

    Raises:
        UserError: A parameter is unknown, missing or of the wrong type, or the component lacks a
            member that its kind must have.
    """
    where = f"{kind} {label!r}"
    try:
        made = checked(component.load(), given, where)
        wanted = INSPECTOR if kind == "detector" and inspects(made) else MEMBERS[kind]
        missing = [name for name in wanted if not hasattr(made, name)]
        wrong = "" if missing else _unsound(made, kind)
        configured = dataclasses.replace(component, parameters=parameters(made))
    except UserError:
        raise
    except Exception as error:  # a user's class may raise anything
        raise UserError(
            f"{where} cannot be made: {_said(error)}\nremedy: mend its class"
        ) from error
    if missing:
        raise UserError(
            f"{where} lacks {', '.join(missing)}\n"
            f"expected of every {kind}: {', '.join(wanted)}; see CONTRIBUTING.md"
        )
    if wrong:
        raise UserError(f"{where}: {wrong}\nremedy: mend its class; see CONTRIBUTING.md")
    return configured


def _unsound(made: Any, kind: str) -> str:
    """What is wrong with what an attack or a detector says of itself, or nothing."""

    def data(value: Any) -> bool:
        return dataclasses.is_dataclass(value) and not isinstance(value, type)

    if kind == "detector":
        if made.knowledge not in KNOWLEDGE:
            return f"knowledge is {made.knowledge!r}; one of {', '.join(KNOWLEDGE)} was expected"
        if made.preparation is not None and not data(made.preparation):
            return f"preparation is {made.preparation!r}; None or a dataclass was expected"
        return ""
    if made.kappa is not None and not (isinstance(made.kappa, float) and 0 < made.kappa < 1):
        return f"kappa is {made.kappa!r}; None or a probability between 0 and 1 was expected"
    from evil_twins.attacks.base import Nature  # what only lists names waits for no torch

    if not isinstance(made.nature, Nature):
        return f"nature is {made.nature!r}; an evil_twins.attacks.base.Nature was expected"
    return ""
