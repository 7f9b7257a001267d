"""The source code that a component stands on: its file and every file of its own that it imports.

For this project that is every module of it; for a user's class the modules of its package, or the
files beside it. What is installed beside them is not looked at.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Holds attacks, bench and detectors, in a checkout as where they are installed."""
PACKAGE = "evil_twins"

Names = tuple[str, ...]
"""What an import may mean, the most special first: "from a import b" is a.b, or else a."""


def locate(names: Names, importer: Path) -> Path | None:
    """The file that an import means, or None if it is none of the importer's own.

    Args:
        names: As `_imports` gives them; dots in front count upwards from the importer.
        importer: The file that has the import.
    """
    for name in names:
        level = len(name) - len(name.lstrip("."))
        parts = [part for part in name.split(".") if part]
        if level:
            place = importer.parents[level - 1].joinpath(*parts)
        elif parts[0] == PACKAGE:
            place = ROOT.joinpath(*parts[1:])
        elif _package(importer) == importer.parent and len(parts) == 1:
            place = importer.parent / parts[0]
            if place.is_dir():  # beside a single file there may be anything
                continue
        elif _top(importer) == parts[0]:
            place = _package(importer).joinpath(*parts)
        else:
            continue
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _package(path: Path) -> Path:
    """The folder that holds the outermost package of a file, or the file itself."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _top(path: Path) -> str:
    return path.relative_to(_package(path)).parts[0]


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imports(node: ast.AST) -> Iterator[Names]:
    """The imports in a piece of code, those for the type checker alone left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name,) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            stem = "." * child.level + (child.module or "")
            joint = "." if child.module else ""
            yield from ((f"{stem}{joint}{alias.name}", stem) for alias in child.names)
        elif not _only_for_types(child):
            yield from _imports(child)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> tuple[str, tuple[Names, ...]]:
    """SHA-256 and imports of a file that was last changed at that time."""
    source = path.read_bytes()
    return hashlib.sha256(source).hexdigest(), tuple(sorted(set(_imports(ast.parse(source)))))


def closure(*roots: Path) -> dict[str, str]:
    """Every file of one's own that the given files stand on, themselves included.

    Args:
        roots: Files of the project or a user's own.

    Returns:
        Path within the project, or from where a user's file or package lies -> SHA-256 of its
        bytes.
    """
    todo, found = list(roots), dict[str, str]()
    while todo:
        path = todo.pop()
        home = ROOT if path.is_relative_to(ROOT) else _package(path)
        name = path.relative_to(home).as_posix()
        if name not in found:
            found[name], imports = _read(path, path.stat().st_mtime_ns)
            todo += [place for names in imports if (place := locate(names, path))]
    return dict(sorted(found.items()))


def digest(*roots: Path) -> str:
    """One SHA-256 over `closure`."""
    lines = [f"{name} {content}" for name, content in closure(*roots).items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
