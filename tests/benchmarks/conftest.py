"""What every benchmark stands on: a real victim and real targets, on one thread."""

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
    """A victim, the same network as it was trained, and targets that it classifies correctly.

    Attributes:
        name: Of the data set.
        training: Images that the victim was trained on.
        victim: Folded and frozen, in the layout that is fastest.
        trained: In eval mode, its batch-norm in place, in PyTorch's own layout.
        view: What an attacker holds, with as many targets as there are, up to 300.
        benign: Images of neither the targets nor the training (64, C, H, W).
        heldout: R, for specificity.
        eps: A radius in l∞ within which nearly all targets reach κ.
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
        """The view with so many of the targets alone."""
        part, some = slice(first, first + count), self.view.targets
        targets = Targets(some.x[part], some.label[part], some.goal[part])
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
    """Every measurement says on which images it was made."""
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
    """All that asks for it is measured in turn, three times over: no ratio hangs on one minute."""
    return int(request.param)


def _trained(found: data.Dataset, file: Path) -> Classifier:
    """ResNet18 of width 16 before its batch-norm is folded; kept in a file for the next time."""
    classes, shape = len(found.classes), found.train.pixels.shape[1:]
    if not file.exists():
        recipe = victims.Recipe(epochs=max(4, 30_000 // len(found.train)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(victims, "fold", lambda model: model)
            model = victims.train(found.train, "resnet18-narrow", classes, recipe, seed=0)
        save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    channels, height, width = shape
    scale = torch.ones(channels)
    model = architectures.build("resnet18-narrow", classes, (channels, height, width), scale, scale)
    model.load_state_dict(load_file(file))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> World:
    """ResNet18 of width 16 on images of 32×32, and its targets."""
    folder = request.config.getoption("--images", None)
    found = data.load("folder", folder) if folder else data.load("digits", size=32)
    cache = request.config.cache.mkdir("victims")
    trained = _trained(found, cache / f"{found.digest[:16]}.safetensors")
    victim = architectures.fold(trained)
    trained.to(memory_format=torch.contiguous_format)
    with torch.no_grad():
        right = (victim(found.confirmatory.x).argmax(1) == found.confirmatory.label).nonzero()
    chosen = found.confirmatory.take(right.flatten()[:TARGETS])
    targets = Targets(chosen.x, chosen.label, (chosen.label + 1) % len(found.classes))
    view = AttackerView(
        victim,
        targets,
        Reference.of(victim, found.train.x[:2000], found.train.label[:2000]),
        lambda i, purpose, turn: seeds.generator(found.name, chosen.ids[i], purpose, turn),
    )
    eps = 32 / 255 if folder else 0.4
    return World(
        found.name,
        len(found.train),
        victim,
        trained,
        view,
        found.fpr.take(range(64)).x,
        found.heldout,
        eps,
    )
