"""The code that decides the content of a cell: source files and versions of installed libraries.

A file counts with every file that it imports, of this project, of a user's package or in the folder
of a user's file. Docstrings, comments, blank lines and the messages of errors decide nothing, so
they are cut out before a file is hashed. Of an installed library the version counts.
"""

import ast
import hashlib
import os
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from evil_twins.bench.components.code_text import without_words
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.plugin import INSTALLED, package_files

ROOT = Path(__file__).parents[2]
"""The folder that holds attacks, bench and detectors, in a checkout as after an installation."""
PACKAGE = "evil_twins"
CELLS = ROOT / "bench" / "cells"
SUBJECTS = ROOT / "bench" / "subjects"

_READERS = ("files", "json_files", "parquet", "schemas", "soundness")
NO_CONTENT = frozenset(
    ROOT / "bench" / name
    for name in (
        *("errors.py", "printable.py", "subjects/place.py", "components/containment.py"),
        "components/source_code.py",
        *("subjects/forms/__init__.py", "subjects/idx.py"),
        *(f"store/{name}.py" for name in _READERS),
    )
)
"""Files that are not followed: messages, guards, and the way to a file are no content."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "art": "adversarial-robustness-toolbox",
    "pytorch_ood": "pytorch-ood",
    "sklearn": "scikit-learn",
}
"""Distributions by imported name, where the two differ: a search of all would take longer."""

TYPES_ALONE = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
"""Conditions of imports that never run."""

Names = tuple[str, ...]
"""The meanings of an import, the most special first: "from a import b" is a.b, or else a."""


@dataclass(frozen=True)
class Code:
    """Files and libraries on which a cell or a component depends.

    Attributes:
        files: Path within the project, or from the folder of a user's file or package -> SHA-256 of
            its code.
        versions: Distribution -> installed version.
    """

    files: Mapping[str, str]
    versions: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all; builds of one version, such as "+cpu", do not differ."""
        lines = [f"{name} {content}" for name, content in self.files.items()]
        lines += [f"{name} {version.split('+')[0]}" for name, version in self.versions.items()]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def code_of(
    kind: str, dataset: Mapping[str, Any], *components: Component, network: Path | None = None
) -> Code:
    """Return the code of a cell.

    The components are its attack or detector, if it has one, and the detectors that an attack
    evades. The data set, as name and size, brings its reader; a size also what resizes images. The
    network of the victim brings its code, if that is not of this project.
    """
    module = {"fit": "preparation", "benign": "score"}.get(kind, kind)
    if kind == "score" and components[0].inspects:
        module = "inspection"
    reader = dataset["name"].split(":")[0].replace("-", "_")
    readers = [SUBJECTS / folder / f"{reader}.py" for folder in ("sets", "forms")]
    roots = [CELLS / f"{module}.py", *(path for path in readers if path.is_file())]
    if dataset["size"]:
        roots.append(SUBJECTS / "image_files.py")
    roots += [file for component in components for file in component.sources]
    if components:
        roots.append(Path(__file__).with_name("component.py"))
    if network:
        roots += [network, SUBJECTS / "networks" / "adoption.py"]
    offers = [hasattr(evaded.load(), "penalty") for evaded in components[1:]]
    roots += [CELLS / ("evade.py" if offer else "substitute.py") for offer in offers]
    return closure(*roots)


def closure(*roots: Path) -> Code:
    """Return the code of files, of the project or of a user, and of all that they import."""
    if all(path.is_relative_to(ROOT) for path in roots):
        return _kept(*roots)
    users, met, _ = _gathered(*roots, follow=False)
    project = _kept(*sorted(met))
    if users.files.keys() & project.files.keys():  # the code of files of one name is joined
        return _gathered(*roots)[0]
    files, versions = {**users.files, **project.files}, {**users.versions, **project.versions}
    return Code(dict(sorted(files.items())), dict(sorted(versions.items())))


def _kept(*roots: Path) -> Code:
    """Return code of the project, gathered anew only if a file has changed: every cell asks."""
    code, _, times = _of_project(*roots)
    if any(_time(path) != time for path, time in times.items()):
        _of_project.cache_clear()
        code, _, _ = _of_project(*roots)
    return code


def _time(path: Path) -> int:
    return os.stat(path).st_mtime_ns


def _gathered(*roots: Path, follow: bool = True) -> tuple[Code, set[Path], Mapping[Path, int]]:
    """Return code, files of the project that are not followed, and time of change of each file."""
    stack, visited = [(path, _base(path)) for path in roots], dict[Path, int]()
    files, versions, met = dict[str, str](), dict[str, str](), set[Path]()
    while stack:
        path, base = stack.pop()
        if path in visited or path in NO_CONTENT:
            continue
        if base == ROOT and not follow:
            met.add(path)
            continue
        visited[path] = _time(path)
        content, imports = _read(path, visited[path])
        name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
        files[name] = files.get(name, "") + content  # two users' files may have the same name
        if base != ROOT:  # importing a module of a package runs the files of the package first
            stack += [(file, base) for file in package_files(path)]
            versions |= _version_around(path)
        for names in imports:
            if imported := locate(names, path, base):
                stack.append((imported, ROOT if imported.is_relative_to(ROOT) else base))
            else:
                top = name.split("/")[0] if names[0][0] == "." else names[0].split(".")[0]
                versions |= _versions(top)
    return Code(dict(sorted(files.items())), dict(sorted(versions.items()))), met, visited


_of_project = lru_cache(maxsize=256)(_gathered)


def locate(names: Names, importer: Path, base: Path) -> Path | None:
    """Return the file that an import means, or None if it is of another package.

    Names are as `_imports` returns them; dots in front count upwards from the importing file. The
    base is the folder that holds the project, or the user's file or package.
    """
    for name in names:
        level = len(name) - len(name.lstrip("."))
        parts = [part for part in name.split(".") if part]
        if level:
            folder = importer.parents[level - 1]
        elif parts[0] == PACKAGE:
            folder, parts = ROOT, parts[1:]
        elif base != ROOT and (
            base.name not in INSTALLED or importer.is_relative_to(base / parts[0])
        ):
            folder = base
        else:
            continue
        place = os.path.join(folder, *parts)  # a plan asks for thousands, and paths take longer
        for path in (f"{place}/__init__.py", f"{place}.py"):  # the order of Python
            if os.path.isfile(path):
                return Path(path)
    return None


def _base(path: Path) -> Path:
    """Return the folder of the project, or of a user's file or outermost package."""
    if path.is_relative_to(ROOT):
        return ROOT
    packages = list(package_files(path))
    return packages[-1].parents[1] if packages else path.parent


@lru_cache(maxsize=256)
def _versions(module: str) -> Mapping[str, str]:
    """Return the installed distributions that offer a module, with their versions."""
    if module in sys.stdlib_module_names:
        return {}
    try:
        installed = [metadata.distribution(DISTRIBUTIONS.get(module, module))]
    except metadata.PackageNotFoundError:
        installed = [metadata.distribution(name) for name in _offers().get(module, [])]
    return {distribution.name: distribution.version for distribution in installed}


def _version_around(path: Path) -> Mapping[str, str]:
    """Return the distribution that installed a file, with its version, or nothing."""
    for folder in path.parents:
        if folder.name in INSTALLED:
            return _versions(path.relative_to(folder).parts[0].removesuffix(".py"))
    return {}


_offers = lru_cache(maxsize=1)(metadata.packages_distributions)


def _imports(node: ast.AST) -> Iterator[Names]:
    """Yield the imports in a piece of code, except those only for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name,) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            stem = "." * child.level + (child.module or "")
            joint = "." if child.module else ""
            yield from ((f"{stem}{joint}{alias.name}", stem) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test) in TYPES_ALONE:
            yield from _imports(ast.Module(child.orelse, []))
        else:
            if isinstance(child, ast.Call) and (module := _imported_by_call(child)):
                yield (module,)
            yield from _imports(child)


def _imported_by_call(call: ast.Call) -> str | None:
    """Return the module that `importlib.import_module` or `__import__` is called with."""
    if ast.unparse(call.func).rpartition(".")[2] not in ("import_module", "__import__"):
        return None
    keywords = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
    name = next(iter([*call.args, *keywords]), None)
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None


@lru_cache(maxsize=1024)
def _read(path: Path, changed: int) -> tuple[str, tuple[Names, ...]]:
    """Return SHA-256 of the code and the imports of a file that was last changed at that time."""
    with tokenize.open(path) as file:
        text = file.read()
    tree = ast.parse(text)
    code = "\n".join(without_words(text, tree))
    return hashlib.sha256(code.encode()).hexdigest(), tuple(sorted(set(_imports(tree))))
