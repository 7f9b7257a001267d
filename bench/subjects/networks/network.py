"""Name the code of a network that is not of this project, and build it untrained."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evil_twins.bench.components import plugin
from evil_twins.bench.components.containment import user_code
from evil_twins.bench.components.source_code import closure
from evil_twins.bench.errors import UserError
from evil_twins.bench.store.checksums import checksum, fingerprint

if TYPE_CHECKING:  # only reading a suite needs no torch
    from torch import nn

PACKAGES = ("torchvision", "timm")
"""Packages of networks; `of_<package>.py` builds theirs."""

PROGRAMS = (".pt2", ".onnx")
"""Endings of files that hold a network with its weights; `of_file.py` builds theirs."""

FORMS = ("file.py:function", "torchvision:NAME", "timm:NAME", "file.pt2", "file.onnx")
"""Forms of the names of networks that are not of this project."""


@dataclass(frozen=True)
class Network:
    """A network of somebody else, and the way in which it takes pixels and names classes.

    Attributes:
        place: "/absolute/file.py:function", "torchvision:NAME", "timm:NAME", or the absolute path
            of a program, which brings its weights.
        mean: Mean of each channel, which is subtracted from pixels in [0, 1]; () for none.
        std: Deviation of each channel, which then divides them; () for none.
        outputs: Names of the classes in the order of its outputs; () for the order of the data.
    """

    place: str
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name in specs and records: a user's file without its folder."""
        if self.is_program:
            return Path(self.place).name
        source, _, name = self.place.rpartition(":")
        return f"{Path(source).name}:{name}"

    @property
    def is_program(self) -> bool:
        """Whether it is a program with its weights."""
        return self.place.endswith(PROGRAMS)

    @property
    def package(self) -> str:
        """The package that offers it, or ""."""
        source = self.place.partition(":")[0]
        return source if source in PACKAGES else ""

    @property
    def source(self) -> Path:
        """The file of its code; for a network of a package or a program the file that builds it."""
        if self.package or self.is_program:
            return Path(__file__).with_name(f"of_{self.package or 'file'}.py")
        return Path(self.place.rpartition(":")[0])

    @property
    def remedy(self) -> str:
        """The remedy if it is no victim."""
        return "let `architecture`, `weights` and `classes` of [victim] fit each other"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of its code and of the versions of the libraries that this imports."""
        code = closure(self.source).digest
        return fingerprint([code, checksum(Path(self.place), None)]) if self.is_program else code

    def build(self, outputs: int, shape: tuple[int, int, int]) -> nn.Module:
        """Build the network untrained; its weights come from the global generator.

        They are in torch's default type. A program brings its weights.

        Args:
            outputs: Number of its outputs.
            shape: (C, H, W) of the images.

        Raises:
            UserError: Its code cannot be loaded, fails, or returns no network.
        """
        import torch
        from torch import nn

        name = self.place.rpartition(":")[2]
        remedy = "remedy: fix it; it may take `classes` and `shape`, and returns a network"
        with user_code(f"architecture {self.name!r} cannot be built", remedy):
            if self.is_program:
                built = import_module(f"{__package__}.of_file").build(Path(self.place))
            elif self.package:
                module = import_module(f"{__package__}.of_{self.package}")
                built = module.build(name, outputs, shape)
            else:
                built = _call(_function(self.source, name), outputs, shape)
        if not isinstance(built, nn.Module):
            raise UserError(
                f"architecture {self.name!r} gives {type(built).__name__}",
                "expected: a function that returns a torch.nn.Module",
            )
        return built.to(torch.get_default_dtype())


def _function(path: Path, name: str) -> Callable[..., Any]:
    function = getattr(plugin.load(path), name, None)
    if not callable(function):
        raise UserError(
            f"there is no function {name!r} in {path}",
            'expected: architecture = "file.py:function", a function that returns a network',
        )
    return function  # type: ignore[no-any-return]


def _call(function: Callable[..., Any], outputs: int, shape: tuple[int, int, int]) -> Any:
    """Call a function with those of `classes` and `shape` that it takes."""
    offered = {"classes": outputs, "shape": shape}
    taken = inspect.signature(function).parameters
    return function(**{name: value for name, value in offered.items() if name in taken})


def locate(architecture: str, folder: Path) -> str:
    """Return the place of a network that a suite names, with an absolute path.

    Args:
        architecture: The name.
        folder: The folder that paths are relative to.

    Raises:
        UserError: It is of no known form, or there is no such file.
    """
    if architecture.endswith(PROGRAMS):
        source, ending = architecture, ""
    else:
        source, _, name = architecture.rpartition(":")
        ending = f":{name}"
        if not name or not (source in PACKAGES or source.endswith(".py")):
            raise UserError(
                f"architecture {architecture!r} is not known",
                f"expected: {', '.join(FORMS)}",
            )
    if source in PACKAGES:
        return architecture
    path = (folder / Path(source).expanduser()).absolute()
    if not path.is_file():
        raise UserError(
            f"architecture {architecture!r}: there is no file {path}",
            f"expected: {', '.join(FORMS)}",
        )
    return f"{path}{ending}"
