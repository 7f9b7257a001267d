"""Networks of any making in memory: tied, changed later, with parts that no code shows."""

import io
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import evil_twins as et
from tests.api.small_networks import data, trained

ALL = {"method": "imc", "name": "all", "phi": [0.5], "input": {}, "model": {"layers": "all"}}


def evaluate(model: nn.Module | Mapping[str, nn.Module], **changes: Any) -> et.Result:
    options = {"attacks": ["pgd"], "detectors": ["confidence"], "targets": 2}
    return et.evaluate(model, data(), **options | changes)


class Around(nn.Module):
    """Changes the logits of a network by something that it holds."""

    def __init__(self, inner: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.change = inner, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.inner(x))


def hooked(factor: float) -> nn.Module:
    network = nn.Sequential(trained(), nn.Identity())
    network[1].register_forward_hook(lambda _, __, z: z * factor)
    return network


@pytest.mark.parametrize("build", [lambda f: Around(trained(), lambda z: z * f), hooked])
def test_what_a_network_holds_is_part_of_its_identity(
    build: Callable[[float], nn.Module], tmp_path: Path
) -> None:
    first, second = (
        evaluate(build(factor), results=tmp_path).targets["linf"].tolist() for factor in (1.0, 0.3)
    )
    assert first != second


class Tied(nn.Module):
    """Has a layer of two names, and two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.again, self.second.weight = self.first, self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        z = torch.relu(self.again(x.flatten(1)))
        z = self.head(torch.relu(self.second(z)))
        return z


def test_networks_with_tied_weights_are_attacked() -> None:
    x, y = (torch.from_numpy(values[:897]) for values in data())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Tied()
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(60):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimiser.step()
    result = evaluate(network, attacks=["pgd", ALL])
    assert result.failures.empty
    assert result.targets["at_kappa"].all()


def test_the_suite_has_the_network_of_the_call(tmp_path: Path) -> None:
    network, x = nn.Sequential(trained(), nn.Identity()), torch.rand(3, 1, 8, 8)
    network[0].eval()
    result, expected = evaluate(network), network(x)
    network[1] = nn.ReLU()
    result.to_suite(tmp_path)
    program = torch.export.load(tmp_path / "victim.pt2").module()
    assert torch.allclose(program(x), expected, atol=1e-5)


def test_failed_cells_are_told() -> None:
    def broken(model: nn.Module, x: Tensor) -> Tensor:
        raise ValueError("no")

    with pytest.warns(UserWarning, match="2 cells failed or wait for one.*ValueError: no"):
        result = evaluate(trained(), detectors=[broken, "confidence"])
    assert set(result.rates["detector"]) == {"confidence"}


LAZY = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no model": ({}, {}, "there is no model"),
    "lazy": (LAZY, {}, "has weights without numbers"),
    "meta": (nn.Linear(3, 3, device="meta"), {}, "has weights without numbers"),
    "long": ({c * 90: trained() for c in "abc"}, {}, "cannot be the name of a folder"),
    "text": (trained(), {"attacks": "pgd"}, r"expected: a list of attacks, such as \['pgd'\]"),
    "targets": (trained(), {"targets": 0}, "targets is 0"),
    "threads": (trained(), {"threads": 0}, "threads is 0"),
    "random": (Around(trained(), torch.rand_like), {}, "other logits in a second pass"),
    "batch": (Around(trained(), lambda z: z - z.mean(0)), {}, "depend on the other images"),
    "detached": (Around(trained(), Tensor.detach), {}, "have no gradient by the images"),
    "no graph": (Around(trained(), torch.no_grad()(lambda z: z * 1)), {}, "have no gradient"),
    "argmax": (Around(trained(), lambda z: one_hot(z.argmax(1), 10).float()), {}, "no gradient"),
    "round": (Around(trained(), torch.round), {}, "gradient is 0 for all of 8 images\nremedy: "),
    "softmax": (Around(trained(), lambda z: z.softmax(1)), {}, "as after a softmax"),
    "constant": (Around(trained(), lambda z: 0 * z + 1), {}, "the same logits to 8 images"),
}


@pytest.mark.parametrize("case", BAD)
def test_mistakes_are_told_before_anything_runs(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "evil_twins.bench.run.evaluation.run_cells", lambda *_, **__: pytest.fail("a cell ran")
    )
    network, options, message = BAD[case]
    with pytest.raises(et.UserError, match=message) as caught:
        evaluate(network, **options)
    assert len(caught.value.lines) <= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z: z.roll(1, 1), r"Around: accuracy 0\.0. of 64 images, where .*`check` measures"),
        (lambda z: (z / 9).sigmoid(), "Around: all outputs are in .* as after a sigmoid"),
    ],
)
def test_what_is_most_likely_wrong_is_told_before_anything_runs(
    change: Callable[[Tensor], Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ran(Exception):
        pass

    def run(*_: object, **__: object) -> None:
        raise Ran

    monkeypatch.setattr("evil_twins.bench.run.evaluation.run_cells", run)
    with pytest.raises(Ran), pytest.warns(UserWarning, match=message):
        evaluate(Around(trained(), change))


def typed(model: nn.Module, x: Tensor) -> Tensor:
    """Score images while somebody types an interrupt."""
    signal.raise_signal(signal.SIGINT)
    return x.sum((1, 2, 3))


def test_an_interrupt_ends_the_running_cell_and_keeps_the_finished_ones(tmp_path: Path) -> None:
    options: dict[str, Any] = {"attacks": ["untouched"], "detectors": [typed]}
    place = tmp_path / "Sequential"
    with pytest.raises(KeyboardInterrupt, match=f"2 of 4 cells are stored in {place}; run again"):
        evaluate(trained(), results=tmp_path, **options)
    assert len(list(place.rglob("cell.json"))) == 2
    assert not list(place.rglob("*.failed.json"))
    with pytest.raises(KeyboardInterrupt, match="no cell is kept; results=FOLDER keeps them"):
        evaluate(trained(), **options)


@torch.no_grad()
def test_a_call_without_gradients_has_them() -> None:
    assert evaluate(trained()).targets["at_kappa"].all()


def test_stored_results_are_those_of_the_call() -> None:
    result = evaluate(trained())
    again = et.load(result.directory)
    assert again == result
    for name in ("targets", "scores", "failures", "rates"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name))
    for name in result.tables:
        pd.testing.assert_frame_equal(again.tables[name], result.tables[name])
    pictures = [io.BytesIO(), io.BytesIO()]
    for each, picture in zip((result, again), pictures, strict=True):
        each.plot().savefig(picture, format="png")
    assert pictures[0].getvalue() == pictures[1].getvalue()


def test_images_of_half_precision_are_read() -> None:
    x, y = (torch.from_numpy(values) for values in data())
    result = et.evaluate(trained(), (x.bfloat16(), y), ["untouched"], ["confidence"], targets=2)
    assert result.failures.empty
