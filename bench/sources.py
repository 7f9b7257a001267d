"""The source code that a component stands on: its file and every project file that it imports."""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("attacks", "bench", "detectors")


def locate(module: str) -> Path | None:
    """The file of a module of this project, or None for any other."""
    if module.split(".")[0] not in PACKAGES:
        return None
    place = ROOT.joinpath(*module.split("."))
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imports(node: ast.AST) -> Iterator[str]:
    """The modules that a piece of code imports, those for the type checker alone left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield inner if locate(inner) else child.module
        elif not _only_for_types(child):
            yield from _imports(child)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> tuple[str, tuple[str, ...]]:
    """SHA-256 and imports of a file that was last changed at that time."""
    source = path.read_bytes()
    return hashlib.sha256(source).hexdigest(), tuple(sorted(set(_imports(ast.parse(source)))))


def closure(*roots: Path) -> dict[str, str]:
    """Every project file that the given files stand on, themselves included.

    Args:
        roots: Files of the project or a user's own.

    Returns:
        Path within the project (the bare name of a user's file) -> SHA-256 of its bytes.
    """
    todo, found = list(roots), dict[str, str]()
    while todo:
        path = todo.pop()
        inside = path.is_relative_to(ROOT)
        name = path.relative_to(ROOT).as_posix() if inside else path.name
        if name not in found:
            found[name], modules = _read(path, path.stat().st_mtime_ns)
            todo += [place for module in modules if (place := locate(module))]
    return dict(sorted(found.items()))


def digest(*roots: Path) -> str:
    """One SHA-256 over `closure`."""
    lines = [f"{name} {content}" for name, content in closure(*roots).items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
