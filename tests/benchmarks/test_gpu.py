"""Many targets at once on a GPU: whole networks in one pass; attacks, and only their passes.

The weights are random: the time of a step does not depend on training, and all rounds are taken.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from evil_twins.attacks import stacking
from evil_twins.attacks.base import AttackerView, Reference, Targets
from evil_twins.attacks.efficacy import margin
from evil_twins.attacks.imc import IMC
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.serving import gradient
from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.subjects.architectures import Classifier, build, fold

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

GPU, N, B, CLASSES = "cuda", 64, 64, 10
SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Networks:
    """N networks that differ a little in all their weights, and B images for each.

    Attributes:
        victim: The network that they differ from.
        weights: The parameters of `PairedModels`.
        x: Images (N, B, C, H, W).
    """

    victim: Classifier
    weights: dict[str, Tensor]
    x: Tensor

    def passes(self) -> tuple[Tensor, Tensor]:
        """Compute logits (N, B, K), and their gradient by the weights of the first layer."""
        leaves = {name: value.detach().requires_grad_() for name, value in self.weights.items()}
        z = PairedModels(self.victim, N, leaves).logits(self.x)
        slopes = gradient(z, leaves, torch.full_like(z, 1 / B))
        return z.detach(), next(iter(slopes.values()))


@pytest.fixture(scope="module", params=["resnet18-narrow", "resnet18"])
def networks(request: pytest.FixtureRequest) -> Iterator[Networks]:
    mean, std = torch.full((3,), 0.45), torch.full((3,), 0.25)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        victim = fold(build(request.param, CLASSES, SHAPE, mean, std).eval()).to(GPU)
        draws = torch.Generator(GPU).manual_seed(0)
        weights = {
            name: w + 1e-3 * torch.randn(N, *w.shape, generator=draws, device=GPU)
            for name, w in victim.named_parameters()
        }
        yield Networks(victim, weights, torch.rand(N, B, *SHAPE, generator=draws, device=GPU))


@pytest.fixture(autouse=True)
def _named(request: pytest.FixtureRequest) -> None:
    """Record the network of each measurement."""
    model: Networks = request.getfixturevalue("networks")
    facts = {"images": model.victim.architecture, "classes": CLASSES, "training": "no"}
    request.getfixturevalue("benchmark").extra_info.update(facts)


def timed(work: Callable[[], object]) -> Callable[[], None]:
    """Wait for the end of the work."""

    def whole() -> None:
        work()
        torch.cuda.synchronize()

    return whole


FLOAT32 = {"enabled": True, "allow_tf32": False}
WAYS: dict[str, tuple[int, Callable[[], AbstractContextManager[object]]]] = {
    "one by one": (0, lambda: exact(GPU)),
    "eight at a time": (8 * B, lambda: exact(GPU)),
    "float32, in any order": (N * B, lambda: torch.backends.cudnn.flags(**FLOAT32)),
    "TF32, in any order": (N * B, nullcontext),
    "bfloat16": (N * B, lambda: torch.autocast(GPU, torch.bfloat16)),
}
STACKED = "64 whole networks, 64 images each, forward and back"


@pytest.mark.benchmark(group=STACKED)
@pytest.mark.parametrize("way", WAYS)
def test_peer(benchmark, networks, way: str, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Make the same passes in other ways; record the difference to ours."""
    with exact(GPU):
        ours, slope = networks.passes()
    images, chosen = WAYS[way]
    monkeypatch.setitem(stacking.PIXELS_PER_PASS, GPU, images * networks.x[0, 0].numel())
    with chosen():
        z, other = networks.passes()
        benchmark.pedantic(timed(networks.passes), rounds=5)
    apart = float((z.double() - ours).norm() / ours.double().norm())
    bent = float((other.double() - slope).norm() / slope.double().norm())
    benchmark.extra_info.update({"logits off by": apart, "gradient off by": bent})
    assert way in ("TF32, in any order", "bfloat16") or apart < 1e-5


@pytest.mark.benchmark(group=STACKED)
def test_one_by_one_in_a_graph(benchmark, networks, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Replay a CUDA graph, without the processor's time to start each operation."""
    monkeypatch.setitem(stacking.PIXELS_PER_PASS, GPU, 0)
    with exact(GPU):
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            networks.passes()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            networks.passes()
        benchmark.pedantic(timed(graph.replay), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group=STACKED)
def test_ours(benchmark, networks) -> None:  # type: ignore[no-untyped-def]
    torch.cuda.reset_peak_memory_stats()
    with exact(GPU):
        benchmark.pedantic(timed(networks.passes), rounds=5, warmup_rounds=1)
    benchmark.extra_info["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30


def view(networks: Networks) -> AttackerView:
    x, label = networks.x[:, 0].clone(), torch.zeros(N, dtype=torch.int64, device=GPU)
    targets = Targets(x, label, label + 1)
    benign = networks.x[:, 1:33].flatten(0, 1)
    reference = Reference.of(networks.victim, benign, torch.zeros(len(benign), device=GPU).long())
    radii = torch.full((N,), 0.01, device=GPU)
    draws = lambda i, purpose, turn: seeds.generator("gpu", i, purpose, turn)  # noqa: E731
    return AttackerView(networks.victim, targets, reference, draws, radii)


ALL = ModelStep("all", batch=B, body=1e-3)
ATTACKS: dict[str, PGD | IMC] = {
    "PGD": PGD(InputStep(), 0.9, rounds=40),
    "IMC on the last layer": IMC(InputStep(), ModelStep("head"), 0.9, rounds=40, phi=0.5),
    "IMC on all layers": IMC(InputStep(), ALL, 0.9, rounds=5, phi=0.5),
}


def bare(networks: Networks, *, whole: bool) -> None:
    """Make the passes of one round: inputs, and a minibatch for each network if they move."""
    leaf = networks.x[:, 0].clone().requires_grad_()
    goal = torch.ones(N, dtype=torch.int64, device=GPU)
    if not whole:
        torch.autograd.grad(margin(networks.victim(leaf), goal).sum(), leaf)
        return
    leaves = {name: value.detach().requires_grad_() for name, value in networks.weights.items()}
    models = PairedModels(networks.victim, N, leaves)
    for inputs in ([leaf], list(leaves.values())):  # the two steps see different networks
        z = models.logits(leaf.unsqueeze(1)).squeeze(1)
        torch.autograd.grad(margin(z, goal).sum(), inputs)
    networks.passes()


@pytest.mark.parametrize("attack", ATTACKS)
def test_ours_in_full(benchmark, networks, attack: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"{attack}, 64 targets, {ATTACKS[attack].rounds} rounds"
    torch.cuda.reset_peak_memory_stats()
    with exact(GPU):
        held = view(networks)
        benchmark.pedantic(timed(lambda: ATTACKS[attack](held)), rounds=3, warmup_rounds=1)
    benchmark.extra_info["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_passes_alone(benchmark, networks, attack: str) -> None:  # type: ignore[no-untyped-def]
    benchmark.group = f"{attack}, 64 targets, {ATTACKS[attack].rounds} rounds"

    def passes() -> None:
        for _ in range(ATTACKS[attack].rounds):
            bare(networks, whole=attack == "IMC on all layers")

    with exact(GPU):
        benchmark.pedantic(timed(passes), rounds=3, warmup_rounds=1)
