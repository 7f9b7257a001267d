"""Names that a shell completes; they are listed, and neither suites nor torch are loaded."""

import re
from collections.abc import Iterable
from pathlib import Path

import typer

from evil_twins.bench.commands.places import REFERENCE, RESULTS, stored_names

BUILT_IN = Path(__file__).parents[1] / "suite" / "built_in"
HARMLESS = re.compile(r"[\w./+-]+")
"""Pattern of the names that are offered: a shell may evaluate what it completes."""


def suites(incomplete: str) -> list[str]:
    """Return the built-in suites, TOML files and folders that begin so."""
    names = (path.stem for path in BUILT_IN.glob("*.toml"))
    return [*_beginning(incomplete, names), *_paths(incomplete, ".toml")]


def stored(context: typer.Context, incomplete: str) -> list[str]:
    """Return the stored results that begin so, and TOML files and folders."""
    results = context.params.get("results") or RESULTS
    folders = [RESULTS, REFERENCE] if results == RESULTS else [results]
    names = {name for folder in folders for name in stored_names(folder)}
    return [*_beginning(incomplete, names), *_paths(incomplete, ".toml")]


def components(incomplete: str) -> list[str]:
    """Return the attacks and detectors, Python files and folders that begin so."""
    from evil_twins.bench.components.names import GROUPS, registry

    names = {name for kind in GROUPS for name in registry(kind)}
    return [*_beginning(incomplete, names), *_paths(incomplete, ".py")]


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(n for n in names if n.startswith(incomplete) and HARMLESS.fullmatch(n))


def _paths(incomplete: str, ending: str) -> list[str]:
    """Return files with this ending, and folders with a slash, from the first letter on."""
    if not HARMLESS.fullmatch(incomplete):
        return []
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    names = (f"{p}/" if p.is_dir() else str(p) for p in paths if not p.name.startswith("."))
    return _beginning(incomplete, (n for n in names if n.endswith(("/", ending))))
