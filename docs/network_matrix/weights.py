"""Images and weights for the page `networks.md`."""

import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from evil_twins.bench.subjects.networks.network import Network

from .cases import EPOCHS, Case

CLASSES, SIDE = 4, 32
ENOUGH = 0.95
"""Accuracy on the training images that ends the training."""


def digits(folder: Path) -> str:
    """Store the digits from 0 to 3 as images (3, 32, 32); return the path of the file."""
    data = load_digits()
    few = data.target < CLASSES
    x, y = np.kron(data.images[few], np.ones((4, 4))) / 16, data.target[few]
    x = (np.repeat(x[:, None], 3, 1) * 255).round().astype(np.uint8)
    path = folder / "digits.npz"
    if not path.exists():
        np.savez(path, x_train=x[::2], y_train=y[::2], x_test=x[1::2], y_test=y[1::2])
    return str(path)


def subset(source: Path | None, folder: Path, each: int) -> str:
    """Link the first images of each class of a folder; return the path of the new folder."""
    if source is None:
        return ""
    for part in sorted(source.glob("t*/*")):
        place = folder / part.relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        for image in sorted(part.iterdir())[:each]:
            if not (place / image.name).exists():
                (place / image.name).write_bytes(image.read_bytes())
    return str(folder)


def prepare(case: Case, home: Path) -> None:
    """Store the weights or the program of a network, if they are not stored and no suite trains."""
    path = Path(case.place(home)) if case.program else home / "w.pt"
    if case.training == "suite" or path.exists():
        return
    if case.source is not None:
        content = torch.load(case.source, weights_only=True, map_location="cpu")
        if case.architecture.startswith("timm:"):
            content = renamed(content, case.architecture.removeprefix("timm:"))
        torch.save(content, path)
        return
    network = trained(case, home)
    if case.program:
        store(network, path)
    else:
        torch.save(network.state_dict(), path)


def renamed(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """Return weights of a network of timm under its names; they have the same order."""
    expected = import_module("timm").create_model(name).state_dict()
    keys = [key for key, value in expected.items() if value.dim()]
    values = [value for value in state.values() if value.dim()]
    if [expected[key].shape for key in keys] != [value.shape for value in values]:
        raise ValueError(f"the weights are not those of {name}")
    counts = {key: value for key, value in expected.items() if not value.dim()}
    return counts | dict(zip(keys, values, strict=True))


def trained(case: Case, home: Path) -> nn.Module:
    """Train a network by Adam until it knows its training images, at most `EPOCHS` times."""
    with np.load(case.data) as stored:
        x, y = torch.from_numpy(stored["x_train"]) / 255, torch.from_numpy(stored["y_train"])
    torch.manual_seed(0)
    network = Network(replace(case, program="").place(home)).build(CLASSES, (3, SIDE, SIDE))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(32)[: len(x) // 32]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network.train()(x[batch]), y[batch]).backward()
            optimizer.step()
        settle(network, x)
        with torch.no_grad():
            if (network.eval()(x).argmax(1) == y).float().mean() >= ENOUGH:
                break
    return network.eval()


def settle(network: nn.Module, x: torch.Tensor) -> None:
    """Give batch-norm the statistics of images, which lag in a brief training."""
    network.eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None
            part.train()
    with torch.no_grad():
        network(x)


def store(network: nn.Module, path: Path) -> None:
    """Store a network as a program for batches of any size."""
    example = torch.zeros(3, 3, SIDE, SIDE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".pt2":
            shapes = ({0: torch.export.Dim("n")},)
            program = torch.export.export(network, (example,), dynamic_shapes=shapes)
            torch.export.save(program, path)
        else:
            options = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}, "opset_version": 17}
            torch.onnx.export(network, (example,), str(path), dynamo=False, **options)
