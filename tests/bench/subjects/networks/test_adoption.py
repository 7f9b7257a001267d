"""Victims of networks that are not of this project: adopted, stored, read back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.networks import adoption
from evil_twins.bench.subjects.networks.network import Network, locate

CODE = """
from torch import nn

def build(classes, shape):
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
        nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, classes, bias=False),
    )

def convolutional(classes):
    return nn.Sequential(nn.Conv2d(1, classes, 8), nn.Flatten())

def bare():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))

def fails(): raise RuntimeError("no")
def nothing(): return None
def exits(): raise SystemExit(0)
def pair(): return Pair()

class Pair(nn.Linear):
    def __init__(self): super().__init__(64, 4)
    def forward(self, x): return super().forward(x.flatten(1)), x
"""


def noise(*shape: int) -> Images:
    """Return images (N, C, H, W) of noise."""
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, shape, generator=draws, dtype=torch.uint8)
    return Images(tuple(map(str, range(shape[0]))), pixels, torch.zeros(shape[0], dtype=torch.long))


IMAGES = noise(8, 1, 8, 8)
X = IMAGES.x
CLASSES = ("a", "b", "c", "d")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path


def stored(network: Network, path: Path, outputs: int, shape: tuple[int, int, int]) -> nn.Module:
    """Save random weights of a network as its user would, and return it in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = network.build(outputs, shape)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.1, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    torch.save({"state_dict": module.state_dict()}, path)
    return module.eval()


def adopted(place: str, folder: Path, classes: Sequence[str] = CLASSES, **more: Any) -> Any:
    network = Network(locate(place, folder), **more)
    outputs = len(network.outputs or classes)
    module = stored(network, folder / "w.pt", outputs, (1, 8, 8))
    return module, adoption.adopt(network, folder / "w.pt", classes, IMAGES), network


def again(model: Classifier, network: Network, folder: Path) -> Classifier:
    weights.save(model, folder / "victim.safetensors")
    return weights.load(folder / "victim.safetensors", folder, network)


@torch.no_grad()
def test_a_victim_gives_the_logits_of_its_network_and_stays_the_same_in_a_file(
    folder: Path,
) -> None:
    module, model, network = adopted("mine.py:build", folder, mean=(0.4,), std=(0.3,))
    assert torch.allclose(model(X), module((X - 0.4) / 0.3), atol=1e-5)
    assert model.architecture == "mine.py:build"
    assert model.network.folded == (("0", "1"),)
    assert torch.equal(model.head(model.features(X)), model(X))
    assert not any(value.requires_grad for value in model.parameters())
    reloaded = again(model, network, folder)
    assert torch.equal(reloaded(X), model(X))
    assert again(reloaded, network, folder).network == model.network


@torch.no_grad()
@pytest.mark.parametrize("function", ["build", "convolutional"])
def test_outputs_are_put_into_the_order_of_the_data(folder: Path, function: str) -> None:
    outputs = ("d", "x", "a", "c", "b")
    module, model, network = adopted(f"mine.py:{function}", folder, outputs=outputs)
    assert torch.allclose(model(X), module(X)[:, [2, 4, 3, 0]], atol=1e-5)
    assert torch.equal(again(model, network, folder)(X), model(X))


@torch.no_grad()
def test_a_network_without_a_last_linear_layer_gets_the_identity(folder: Path) -> None:
    module, model, network = adopted("mine.py:convolutional", folder)
    assert model.network.head is None
    assert torch.allclose(model(X), module(X), atol=1e-6)
    assert torch.equal(model.head.weight, torch.eye(4))
    assert torch.equal(again(model, network, folder)(X), model(X))


def test_weights_of_other_precision_are_computed_in_float32(folder: Path) -> None:
    (folder / "mine.py").write_text(CODE + "\ndef half(): return bare().bfloat16()\n")
    network = Network(locate("mine.py:half", folder))
    torch.save(network.build(4, (1, 8, 8)).bfloat16().state_dict(), folder / "w.pt")
    model = adoption.adopt(network, folder / "w.pt", CLASSES, IMAGES)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}


SMALL = ("mobilenet_v3_small", "shufflenet_v2_x0_5")
LARGE = ("convnext_tiny", "efficientnet_b0", "vgg11_bn", "densenet121", "swin_t", "vit_b_32")
LARGE += ("resnet50", "regnet_y_400mf", "mnasnet0_5", "squeezenet1_1")


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_networks_of_torchvision_are_adopted(tmp_path: Path, name: str) -> None:
    network = Network(f"torchvision:{name}")
    images = noise(8, 3, 64, 64)
    x = images.x
    module = stored(network, tmp_path / "w.pt", 4, (3, 64, 64))
    model = adoption.adopt(network, tmp_path / "w.pt", CLASSES, images)
    logits = module(x)
    assert adoption.close(model(x), logits)
    assert model.network is not None
    assert (model.network.head is None) == ("squeeze" in name)
    assert torch.equal(again(model, network, tmp_path)(x), model(x))


@pytest.mark.slow
def test_a_network_of_timm_is_adopted(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    network = Network("timm:vit_tiny_patch16_224")
    images = noise(8, 3, 32, 32)
    x = images.x
    module = stored(network, tmp_path / "w.pt", 4, (3, 32, 32))
    model = adoption.adopt(network, tmp_path / "w.pt", CLASSES, images)
    assert adoption.close(model(x), module(x))
    assert torch.equal(again(model, network, tmp_path)(x), model(x))


def test_the_code_of_a_stored_victim_is_never_taken_from_its_file(folder: Path) -> None:
    _, model, network = adopted("mine.py:build", folder)
    weights.save(model, folder / "victim.safetensors")
    with pytest.raises(UserError, match=r"unknown victim 'mine\.py:build'"):
        weights.load(folder / "victim.safetensors", folder)
    other = Network(locate("mine.py:bare", folder))
    with pytest.raises(UserError, match=r"that of 'mine.py:build', not of 'mine.py:bare'"):
        weights.load(folder / "victim.safetensors", folder, other)
    (folder / "mine.py").write_text(CODE.replace("0.5", "0.25"))
    changed = Network(network.place)
    with pytest.raises(UserError, match="is not that with which the victim was stored"):
        weights.load(folder / "victim.safetensors", folder, changed)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "fails": ("mine.py:fails", {}, "cannot be built: RuntimeError: no"),
    "nothing": ("mine.py:nothing", {}, "gives NoneType"),
    "exits": ("mine.py:exits", {}, "cannot be built: SystemExit: 0"),
    "no function": ("mine.py:biuld", {}, "there is no function 'biuld'"),
    "several outputs": ("mine.py:pair", {}, "it returns tuple"),
    "channels": ("mine.py:build", {"mean": (0.1, 0.2), "std": (1.0, 1.0)}, "2 means"),
    "a class without output": ("mine.py:build", {"outputs": ("a", "b", "c", "e")}, "lacks 'd'"),
    "fewer outputs": ("mine.py:bare", {"outputs": (*CLASSES, "e")}, "expected: "),
    "no network": ("torchvision:resnet81", {}, "did you mean 'resnet18'"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_victim_is_refused_in_three_lines(folder: Path, kind: str) -> None:
    place, more, message = WRONG[kind]
    torch.save({"1.weight": torch.zeros(4, 64), "1.bias": torch.zeros(4)}, folder / "w.pt")
    network = Network(locate(place, folder), **more)
    if kind in ("channels", "several outputs"):
        module = network.build(4, (1, 8, 8))
        torch.save(module.state_dict(), folder / "w.pt")
    with pytest.raises(UserError) as error:
        adoption.adopt(network, folder / "w.pt", CLASSES, IMAGES)
    assert message in str(error.value) or kind == "fewer outputs"
    assert 2 <= len(str(error.value).splitlines()) <= 3


@pytest.mark.parametrize("place", ["resnet", "mine:build", "none.py:build", "keras:VGG", ":x"])
def test_a_place_of_no_known_form_is_refused(folder: Path, place: str) -> None:
    with pytest.raises(UserError, match=r"expected: file\.py:function"):
        locate(place, folder)


def test_probabilities_are_adopted_as_they_are(folder: Path) -> None:
    """No linear layer makes them. The clauses of `check` warn of them."""
    code = CODE + "\ndef sure(): return nn.Sequential(bare(), nn.Softmax(1))\n"
    (folder / "mine.py").write_text(code)
    _, model, _ = adopted("mine.py:sure", folder)
    assert model.network.head is None
    z: Tensor = model(X)
    assert torch.allclose(z.sum(1), torch.ones(8))


@pytest.mark.slow
def test_resnets_of_torchvision_give_the_numbers_of_those_of_this_project(tmp_path: Path) -> None:
    """The same weights: the stock network at 96 pixels is ours."""
    from evil_twins.bench.subjects.architectures import build, fold

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ours = build("resnet18", 4, (3, 96, 96), torch.full((3,), 0.4), torch.full((3,), 0.3))
    for part in ours.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    state = {n.removeprefix("trunk."): v for n, v in ours.trunk.state_dict().items()}
    head = {f"fc.{name}": value for name, value in ours.head.state_dict().items()}
    torch.save(state | head, tmp_path / "w.pt")
    network = Network("torchvision:resnet18", (0.4,) * 3, (0.3,) * 3)
    images = noise(8, 3, 96, 96)
    x, usual = images.x, fold(ours)
    model = adoption.adopt(network, tmp_path / "w.pt", CLASSES, images)
    assert torch.allclose(model(x), usual(x), atol=1e-4)
    names = {name for name, _ in usual.named_parameters()}
    assert {name for name, _ in model.named_parameters()} == names
