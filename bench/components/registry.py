"""Attacks and detectors by name: they are looked up, given their parameters and checked.

`method` in a suite is a name that `evil-twins list` shows, "package.module:Name", or "file.py:Name"
with the file in the suite's folder. In this module `kind` is "attack" or "detector", `method` is
such a name and `folder` is that of the suite and its files. A name refers to a frozen dataclass; a
detector may also be a plain function or class.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.components.adapters import INSTALL_OOD, PACKAGES, usable
from evil_twins.bench.components.adapters.unusable import reason
from evil_twins.bench.components.component import Component, NoSuchName, parameters
from evil_twins.bench.components.containment import user_code
from evil_twins.bench.components.names import GROUPS, registry
from evil_twins.bench.components.parameters import checked
from evil_twins.bench.components.shorthand import attacks
from evil_twins.bench.errors import Fault, UserError, message, unknown

KNOWLEDGE = ("K0", "K1", "K2", "K3")
MEMBERS = {
    "attack": ("kappa", "nature", "__call__"),
    "detector": ("knowledge", "preparation", "fit"),
}
ALSO = {
    "attack": ", with kappa, nature and __call__(self, view)",
    "detector": ", a class with fit(self, view), or a function score(model, x)",
}
"""The forms of a component, after that of a dataclass."""

INSPECTOR = ("knowledge", "preparation", "inspect")
"""Members of a detector of models, which has no `fit`."""


def _place(kind: str, method: str, folder: Path) -> str:
    if ":" not in method:
        places = registry(kind)
        if method not in places:
            raise _unknown_name(kind, method, places)
        return places[method]
    module, _, name = method.rpartition(":")
    if module in PACKAGES:
        return _adapter_place(kind, module, name)
    return f"{(folder / module).resolve()}:{name}" if module.endswith(".py") else method


def _adapter_place(kind: str, package: str, name: str) -> str:
    places = usable(package)
    if why := reason(package, name):
        raise UserError(
            f"{package}:{name} cannot be used: {why}",
            f"remedy: one of the {kind}s of `evil-twins list`",
        )
    if name not in places:
        raise unknown(f"{package}: name", name, places)
    return places[name]


def _unknown_name(kind: str, method: str, names: Iterable[str]) -> UserError:
    """Return the error for a word that no list has, perhaps a file without a name in it."""
    if "." in method:
        return UserError(
            f"{method!r} is a file or a module, not the {kind} in it",
            f"remedy: {method}:Name, or a name of `evil-twins list`",
        )
    return unknown(kind, method, names)


def _message(error: BaseException) -> str:
    if isinstance(error, NoSuchName | Fault):
        return message(error)
    return f"{type(error).__name__}: {(message(error).splitlines() or [''])[0][:150]}"


def find(kind: str, method: str, folder: Path) -> Component:
    """Return the component of a name, without parameters.

    Raises:
        UserError: No such name, file, module or class.
    """
    component, cls = _loaded(kind, method, folder)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UserError(
            f"{kind} {method!r} is not a dataclass{_difference(cls, kind)}",
            f"expected: a frozen dataclass whose fields are the parameters{ALSO[kind]}",
        )
    return component


def _loaded(kind: str, method: str, folder: Path) -> tuple[Component, Any]:
    """Return the component of a name and its value, which may be no class."""
    try:
        component = Component(_place(kind, method, folder), {})
        return component, component.load()
    except UserError:
        raise
    except Exception as error:  # a user's file may raise anything
        raise UserError(
            f"cannot load the {kind} {method!r}: {_message(error)}",
            f"remedy: {_remedy(error, method, folder)}",
        ) from error


def trouble(kind: str, name: str) -> str:
    """Return in one line why a listed name of another package cannot be used, or ""."""
    try:
        find(kind, name, Path.cwd())
    except UserError as error:
        return error.lines[0]
    return ""


def _remedy(error: BaseException, method: str, folder: Path) -> str:
    module, _, name = method.rpartition(":")
    if module == "ood" and isinstance(error, ModuleNotFoundError):
        return INSTALL_OOD
    absent = not module or (
        not (folder / module).is_file()
        if module.endswith(".py")
        else isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
    )
    if not absent and not isinstance(error, NoSuchName):
        return f"fix {module}, which raises that when it is loaded"
    file = f"{module}.py:{name}" if (folder / f"{module}.py").is_file() else "file.py:Name"
    return f"a name of `evil-twins list`, module:Name, or {file} in {folder.resolve()}"


def kind_of(method: str, folder: Path) -> str:
    """Return "attack" or "detector" for a name without parameters.

    Raises:
        UserError: No such name, file, module or class.
    """
    if ":" in method:
        _, value = _loaded("detector", method, folder)
        return "attack" if attacks(value) else "detector"
    kinds = {name: kind for kind in GROUPS for name in registry(kind)}
    if method not in kinds:
        raise _unknown_name("attack or detector", method, kinds)
    return kinds[method]


def _difference(value: Any, kind: str) -> str:
    if isinstance(value, type):
        return " and has no `fit`" if kind == "detector" else ""
    if callable(value):
        return " but a function" + (" of too few arguments" if kind == "detector" else "")
    return f" but of type {type(value).__name__}"


def configure(component: Component, values: Mapping[str, Any], kind: str, label: str) -> Component:
    """Return a component of `find` with all its parameters, checked; messages name it by `label`.

    Raises:
        UserError: A parameter is unknown, missing or of the wrong type, or the component lacks a
            member that its kind must have.
    """
    where = f"{kind} {label!r}"
    # Its constructor and its properties are code, too.
    with user_code(f"{where} cannot be made", "remedy: fix its class"):
        instance = checked(component.load(), values, where)
        check_members(instance, kind, label)
        return dataclasses.replace(component, parameters=parameters(instance))


def check_members(instance: Any, kind: str, label: str) -> None:
    """Check that an attack or a detector has the members of its kind, of sound values.

    Raises:
        UserError: It has not; the message names it by `label`.
    """
    inspects = hasattr(instance, "inspect") and not hasattr(instance, "fit")
    expected = INSPECTOR if kind == "detector" and inspects else MEMBERS[kind]
    if missing := [name for name in expected if not hasattr(instance, name)]:
        raise UserError(
            f"{kind} {label!r} lacks {', '.join(missing)}",
            f"expected of every {kind}: {', '.join(expected)}; see CONTRIBUTING.md",
        )
    if fault := _fault(instance, kind):
        raise UserError(f"{kind} {label!r}: {fault}", "remedy: fix its class; see CONTRIBUTING.md")


def _fault(instance: Any, kind: str) -> str:
    """Return the fault in the nature of an attack or a detector, or ""."""
    if kind == "detector":
        knowledge, preparation = instance.knowledge, instance.preparation
        if knowledge not in KNOWLEDGE:
            return f"knowledge is {knowledge!r}; one of {', '.join(KNOWLEDGE)} was expected"
        is_data = dataclasses.is_dataclass(preparation) and not isinstance(preparation, type)
        if preparation is not None and not is_data:
            return f"preparation is {preparation!r}; None or a dataclass was expected"
        return ""
    kappa = instance.kappa
    if kappa not in (None, "benign") and not (isinstance(kappa, float) and 0 < kappa < 1):
        return f'kappa is {kappa!r}; None, "benign" or a probability was expected'
    from evil_twins.attacks.base import Nature  # a list of names waits for no torch

    if not isinstance(instance.nature, Nature):
        return f"nature is {instance.nature!r}; an evil_twins.attacks.base.Nature was expected"
    return ""
