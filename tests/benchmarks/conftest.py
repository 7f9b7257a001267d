"""Fixtures of the benchmarks: a real victim and real targets, on one thread."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.bench.cells import seeds
from evil_twins.bench.subjects import architectures, data, victims
from evil_twins.bench.subjects.architectures import Classifier

TARGETS = 300


@dataclass(frozen=True)
class World:
    """A victim, the network from which it was folded, and correctly classified targets.

    Attributes:
        name: Of the data set.
        training: Number of training images.
        victim: Folded and frozen, in the fastest memory layout.
        trained: Not folded, in eval mode, in the default layout of PyTorch.
        view: The view of an attacker with up to 300 targets.
        benign: Images outside targets and training data (64, C, H, W).
        heldout: The images R, on which specificity is measured.
        eps: An l∞ radius within which nearly all targets reach κ.
    """

    name: str
    training: int
    victim: Classifier
    trained: Classifier
    view: AttackerView
    benign: Tensor
    heldout: data.Images
    eps: float

    def few(self, count: int, first: int = 0) -> AttackerView:
        """Return the view with `count` of the targets, from the index `first` on."""
        rows, whole = slice(first, first + count), self.view.targets
        targets = Targets(whole.x[rows], whole.label[rows], whole.goal[rows])
        return replace(self.view, targets=targets)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--images",
        type=Path,
        help="a folder with train/<class>/* and test/<class>/*; without it, digits at 32×32",
    )


def pytest_benchmark_update_machine_info(machine_info: dict[str, object]) -> None:
    if torch.cuda.is_available():
        machine_info["gpu"] = torch.cuda.get_device_name()


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest) -> None:
    """Store the names of the images with each measurement."""
    if "benchmark" in request.fixturenames:
        world: World = request.getfixturevalue("world")
        facts = {
            "images": world.name,
            "classes": world.victim.classes,
            "training": world.training,
        }
        request.getfixturevalue("benchmark").extra_info.update(facts)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda count: f"turn {count}")
def turn(request: pytest.FixtureRequest) -> int:
    """Measure all benchmarks of a module three times in turn, against drifts of the machine."""
    return int(request.param)


def _trained(dataset: data.Dataset, file: Path) -> Classifier:
    """Return a ResNet18 of width 16 with batch-norm, read from `file` if it was stored there."""
    classes, shape = len(dataset.classes), dataset.train.pixels.shape[1:]
    if not file.exists():
        recipe = victims.Recipe(epochs=max(4, 30_000 // len(dataset.train)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(victims, "fold", lambda model: model)
            model = victims.train(dataset.train, "resnet18-narrow", classes, recipe, seed=0)
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    channels, height, width = shape
    scale = torch.ones(channels)
    model = architectures.build("resnet18-narrow", classes, (channels, height, width), scale, scale)
    model.load_state_dict(load_file(file))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> World:
    """Return a ResNet18 of width 16 on images of 32×32, and its targets."""
    folder = request.config.getoption("--images", None)
    dataset = data.load("folder", folder) if folder else data.load("digits", size=32)
    cache = request.config.cache.mkdir("victims")
    trained = _trained(dataset, cache / f"{dataset.digest[:16]}.safetensors")
    victim = architectures.fold(trained)
    trained.to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        right = (victim(dataset.confirmatory.x).argmax(1) == dataset.confirmatory.label).nonzero()
    chosen = dataset.confirmatory.take(right.flatten()[:TARGETS])
    targets = Targets(chosen.x, chosen.label, (chosen.label + 1) % len(dataset.classes))
    view = AttackerView(
        victim,
        targets,
        Reference.of(victim, dataset.train.x[:2000], dataset.train.label[:2000]),
        lambda i, purpose, turn: seeds.generator(dataset.name, chosen.ids[i], purpose, turn),
    )
    eps = 32 / 255 if folder else 0.4
    return World(
        dataset.name,
        len(dataset.train),
        victim,
        trained,
        view,
        dataset.fpr.take(range(64)).x,
        dataset.heldout,
        eps,
    )
