"""The networks, the attacks and the detectors of the page `networks.md`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torchvision.models._meta import _IMAGENET_CATEGORIES

ARCHITECTURES = Path(__file__).with_name("architectures.py")

ATTACKS = {
    "PGD": 'method = "pgd"\ninput = { norm = "linf" }',
    "Poisoning, head": 'method = "poisoning"\nrounds = 50\nmodel = { layers = "head" }',
    "IMC, head": 'method = "imc"\nrounds = 50\nphi = [0.25, 0.75]\ninput = { norm = "linf" }\n'
    'model = { layers = "head" }',
    "Poisoning, all": 'method = "poisoning"\nrounds = ROUNDS\nmodel = { layers = "all", '
    "batch = 16, body = 0.001, gain = 5 }",
    "IMC, all": 'method = "imc"\nrounds = ROUNDS\nphi = 0.5\ninput = { norm = "linf" }\n'
    'model = { layers = "all", batch = 16, body = 0.001, gain = 5 }',
}
"""Name of a row -> its lines of a suite, without κ."""

DETECTORS = {
    "manifold": 'method = "manifold"\nautoencoder = { steps = 100 }',
    "smoothing": 'method = "smoothing"\ndraws = 20\nchoosing = 20\ncounting = 0',
    "curvature": 'method = "curvature"\nk = 1',
    "confidence": 'method = "confidence"',
    "squeezing": 'method = "squeezing"',
    "neighbours": 'method = "neighbours"',
    "disagreement": 'method = "disagreement"',
}
"""Name of a column -> its lines of a suite."""

HEAD = tuple(name for name, row in ATTACKS.items() if 'layers = "head"' in row)
"""The rows that change only the last layer."""

KAPPA, TARGETS, BENIGN = 0.75, 4, 8
ROUNDS, FEW = 10, 4
"""Rounds of the attacks on all layers; few for networks of wide layers or large images."""

EPOCHS, PASSES = 20, 15
"""Passes over the training images: most of the script, and all of the suite."""

RECIPE = f"{{ epochs = {PASSES}, lr = 0.05 }}"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LITE = ((0.498,) * 3, (0.502,) * 3)


@dataclass(frozen=True)
class Case:
    """A network, and the way in which a suite gets its weights.

    Attributes:
        name: Its name on the page.
        architecture: As a suite names it; a function of `architectures.py` without its file.
        training: "script", "suite" or "file".
        program: ".pt2" or ".onnx" to store the trained network as a program, or "".
        source: The file of its weights, for "file".
        images: The name of the data on the page.
        data: The data set as a suite names it.
        normalise: Mean and deviation of the pixels, or None.
        classes: Names of its outputs; () for those of the data.
        rounds: Rounds of the attacks on all layers.
        count: Their number of targets.
    """

    name: str
    architecture: str
    training: str = "script"
    program: str = ""
    source: Path | None = None
    images: str = "digits"
    data: str = ""
    normalise: tuple[tuple[float, ...], ...] | None = None
    classes: tuple[str, ...] = ()
    rounds: int = ROUNDS
    count: int = TARGETS

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name.replace(" ", "-").replace(":", "-")

    @property
    def weights(self) -> str:
        """The name of the file of its weights in its folder, or ""."""
        return "" if self.program or self.training == "suite" else "w.pt"

    def place(self, home: Path) -> str:
        """Return its architecture as a suite names it, with an absolute path."""
        if self.program:
            return str(home / f"network{self.program}")
        named = ":" in self.architecture
        return self.architecture if named else f"{ARCHITECTURES}:{self.architecture}"

    def head(self, home: Path, benign: int) -> str:
        """Return the beginning of its suite."""
        lines = ['name = "network"', f'dataset = "{self.data}"', "[victim]"]
        lines += [f'architecture = "{self.place(home)}"']
        if self.weights:
            lines += [f'weights = "{home / self.weights}"']
        if self.training == "suite":
            lines += [f"recipe = {RECIPE}"]
        if self.normalise:
            mean, std = (list(part) for part in self.normalise)
            lines += [f"normalise = {{ mean = {mean}, std = {std} }}"]
        if self.classes:
            lines += [f"classes = {[*self.classes]!r}"]
        return "\n".join([*lines, "[targets]", f"count = {TARGETS}", f"benign = {benign}"])

    def suites(self, home: Path, refused: Collection[str], smooth: bool) -> list[str]:
        """Return its suites, without the rows and columns that it cannot have.

        Curvature of a smooth network takes products with its Hessian for each image, so that it has
        a suite with the row PGD and few benign images.
        """
        rows = [name for name in ATTACKS if name not in refused]
        columns = [name for name in DETECTORS if name not in refused]
        if not smooth or "curvature" not in columns:
            return [self.suite(home, rows, columns)]
        columns.remove("curvature")
        return [self.suite(home, ["PGD"], ["curvature"], 2), self.suite(home, rows, columns)]

    def suite(
        self, home: Path, rows: Iterable[str], columns: Iterable[str], benign: int = BENIGN
    ) -> str:
        """Return its suite with rows and columns of these names."""
        parts = [self.head(home, benign)]
        for name in rows:
            row = ATTACKS[name].replace("ROUNDS", str(self.rounds))
            count = self.count if "ROUNDS" in ATTACKS[name] else TARGETS
            start = f'[[attacks]]\nname = "{name}"\ncount = {count}\n'
            parts.append(f"{start}kappa = {KAPPA}\n{row}")
        parts += [f'[[detectors]]\nname = "{name}"\n{DETECTORS[name]}' for name in columns]
        return "\n\n".join(parts) + "\n"

    def facts(self) -> dict[str, Any]:
        """Return its facts for the page, without paths."""
        return {
            "name": self.name,
            "architecture": self.architecture,
            "training": self.training,
            "images": self.images,
            "rounds": self.rounds,
        }


def built_in(data: str) -> list[Case]:
    """Return the networks that need no files, on images of the given data set."""
    light = ("mobilenet_v3_small", "efficientnet_b0", "densenet121")
    cases = [
        Case("sequential", "sequential", training="suite"),
        Case("convolution as head", "convolution_as_head", training="suite"),
        Case("sequential.pt2", "sequential", program=".pt2"),
        Case("sequential.onnx", "sequential", program=".onnx"),
        Case("timm:vit_tiny_patch16_224", "timm:vit_tiny_patch16_224"),
        *(Case(f"torchvision:{name}", f"torchvision:{name}") for name in light),
        Case("vgg11_bn for small images", "vgg11_bn", rounds=FEW, count=2),
        *(
            Case(f"torchvision:{name}", f"torchvision:{name}", rounds=FEW, count=2)
            for name in ("swin_t", "convnext_tiny")
        ),
    ]
    return [replace(case, data=data) for case in cases]


def of_files(files: Mapping[str, Path | None], cifar10: str, imagenette: str) -> list[Case]:
    """Return the networks whose files are given, by the names of the options."""
    cases = []
    for name in ("resnet20", "resnet56"):
        if files[name] and cifar10:
            network = Case(name, name, "file", source=files[name], images="CIFAR-10")
            cases.append(replace(network, data=cifar10, normalise=IMAGENET))
    if files["efficientnet_lite0"] and imagenette:
        names = tuple(name.lower().replace(" ", "_") for name in _IMAGENET_CATEGORIES)
        lite = Case("efficientnet-lite0", "timm:tf_efficientnet_lite0", "file")
        lite = replace(lite, source=files["efficientnet_lite0"], images="Imagenette")
        lite = replace(lite, data=imagenette, normalise=LITE, classes=names, rounds=FEW, count=2)
        cases.append(lite)
    return cases
