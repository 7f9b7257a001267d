"""Modules in files of users, which may import the other files and packages in their folders."""

import importlib
import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

PROJECT = "evil_twins"
INSTALLED = ("site-packages", "dist-packages")
"""Folders of installed packages."""

_Stamp = tuple[int, int] | None


def load(path: Path) -> ModuleType:
    """Return the module in a file of a user.

    It may import the files and packages in its folder, by relative imports if the folder is a
    package. The module is executed again when one of these files has changed.
    """
    packages = [file.parent.name for file in package_files(path)][::-1]
    name, base = ".".join([*packages, f"plugin_{path.stem}"]), base_of(path)
    module = sys.modules.get(name)
    if module is not None and module.__file__ == str(path) and not _changed(module):
        return module
    with _only_helpers_of(base):
        if packages:
            exec(f"import {'.'.join(packages)}", {"__file__": str(path)})
        return _executed(name, path)


def package_files(path: Path) -> Iterator[Path]:
    """Yield the `__init__.py` of every package that a file lies in, from the inside."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        yield folder / "__init__.py"
        folder = folder.parent


def base_of(path: Path) -> Path:
    """Return the folder of a file, or of the outermost package that it lies in."""
    packages = list(package_files(path))
    return packages[-1].parents[1] if packages else path.parent


class _FolderFinder(MetaPathFinder):
    """Finds the files and packages in the folders of plug-ins, for imports from these folders only.

    Attributes:
        helpers: Name of each module that was found -> folder of the plug-in.
        folders: The folders of plug-ins.
    """

    def __init__(self) -> None:
        self.helpers, self.folders = dict[str, Path](), set[Path]()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, not one of a package, in the folder of the file that imports it."""
        frame = inspect.currentframe()
        while frame and str(frame.f_globals.get("__name__")).startswith((__name__, "importlib")):
            frame = frame.f_back
        file = frame.f_globals.get("__file__") if frame and path is None else None
        base = base_of(Path(file)) if file else None
        if base is None or base not in self.folders:
            return None
        spec = PathFinder.find_spec(name, [str(base)])
        if spec and not spec.loader and PathFinder.find_spec(name):
            return None  # a folder without code has the name of a library
        if spec:
            self.helpers[name] = base
        return spec


_FINDER = _FolderFinder()


def _helpers_of(base: Path) -> dict[str, ModuleType]:
    """Return the loaded helpers of the plug-ins in a folder, by name."""
    tops = {name for name, folder in _FINDER.helpers.items() if folder == base}
    if not tops:  # there are thousands of modules
        return {}
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in tops and not hasattr(module, "_stamps")
    }


@contextmanager
def _only_helpers_of(base: Path) -> Iterator[None]:
    """Unload the helpers of all plug-ins, and hide other modules of these names in the block."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    if base.name not in INSTALLED:
        _FINDER.folders.add(base)
    for folder in set(_FINDER.helpers.values()):
        for name in _helpers_of(folder):
            del sys.modules[name]
    importlib.invalidate_caches()
    hidden = {name: sys.modules.pop(name) for name in list(_of_others(base))}
    try:
        yield
    finally:
        sys.modules.update(hidden)


def _of_others(base: Path) -> Iterator[str]:
    """Yield the names of loaded modules, not of libraries, that a folder has as well."""
    offered = {path.stem for path in base.glob("*.py")}
    offered |= {path.parent.name for path in base.glob("*/__init__.py")}
    for top in (offered & sys.modules.keys()) - sys.stdlib_module_names - {"__main__", PROJECT}:
        module = sys.modules[top]
        place = str(getattr(module, "__file__", None) or [*getattr(module, "__path__", ())])
        if not any(folder in place for folder in INSTALLED):
            yield from (name for name in sys.modules if name.partition(".")[0] == top)


def _executed(name: str, path: Path) -> ModuleType:
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = module_from_spec(spec)
    module._stamps = {str(path): _stamp(str(path))}  # type: ignore[attr-defined]
    sys.modules[name] = module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    _changed(module)
    return module


def _changed(module: ModuleType) -> bool:
    """Note the helpers of a plug-in; check whether its file or one of theirs has changed."""
    stamps: dict[str, _Stamp] = module.__dict__["_stamps"]
    for helper in _helpers_of(base_of(Path(str(module.__file__)))).values():
        if file := getattr(helper, "__file__", None):
            stamps.setdefault(file, _stamp(file))
    return any(_stamp(file) != stamp for file, stamp in stamps.items())


def _stamp(file: str) -> _Stamp:
    with suppress(OSError):
        stat = os.stat(file)
        return stat.st_mtime_ns, stat.st_size
    return None
