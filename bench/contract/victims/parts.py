"""The clauses on the parts of a victim: last layer, batch-norm, layers, costs."""

import torch

from evil_twins.attacks.models import HEAD
from evil_twins.attacks.steps.treatment import layer_kinds
from evil_twins.bench.contract.clause import Broken, Doubtful, Inapplicable, clause
from evil_twins.bench.contract.victims.case import ModelCase
from evil_twins.bench.subjects.networks.structure import NORMS, TOLERANCE, close, no_head
from evil_twins.detectors.spectrum.linearity import piecewise_linear

READY = ("has_classes", "deterministic", "independent", "eval_mode")
LATER = (*READY, "adopted")
METRICS = {"blocks": "", "kronecker": "", "diagonal": " (diagonal metric)", "frozen": " (unused)"}
"""Notes on the metrics of layers, in which attacks move them."""


@clause(
    "see the message: the network is built again, split and folded, as a suite does it", after=READY
)
def adopted(case: ModelCase) -> str:
    """It becomes a victim of the same logits."""
    model, usual = case.victim, case.z if case.rows is None else case.z[:, case.rows]
    if not case.origin.trained:
        return "without weights there is nothing to compare"
    with torch.no_grad():
        z = model(case.x)
    error = float((z - usual).abs().max() / usual.abs().max().clamp_min(1.0))
    if not close(z, usual):
        raise Broken(f"the victim's logits differ by {error:.3g} of the largest")
    return f"largest difference {error:.1e} of the largest logit"


@clause("let the forward end with a torch.nn.Linear: logits = self.head(features)", after=LATER)
def last_layer(case: ModelCase) -> str:
    """A last linear layer gives the logits: logits = head(features(x))."""
    model = case.victim
    if model.network is not None and model.network.head is None:
        why = no_head(case.module, case.scale(case.x))
        raise Doubtful(f"{why}: no attack can change the last layer by itself")
    with torch.no_grad():
        features, z = model.features(case.x), model(case.x)
        error = float((model.head(features) - z).abs().max())
    if error > TOLERANCE * max(1.0, float(z.abs().max())):
        raise Broken(f"head(features(x)) differs from the logits by {error:.3g}")
    name = model.network.head if model.network else "head"
    return f"{name}, {features.shape[1]} features, difference {error:.1e}"


@clause("no other remedy than another network; batch-norm that stays is frozen", after=LATER)
def batch_norm(case: ModelCase) -> str:
    """Its batch-norm becomes a part of the convolutions before it."""
    model = case.victim
    if model.network is None:
        return "folded where it was stored"
    folded = len(model.network.folded)
    left_over = [name for name, part in model.named_modules() if isinstance(part, NORMS)]
    if not folded and not left_over:
        raise Inapplicable("it has no batch-norm")
    if left_over:
        raise Doubtful(f"{folded} folded; {len(left_over)} stay frozen, such as {left_over[0]}")
    return f"{folded} folded"


@clause("use ReLU, pooling and convolutions for exact curvature", after=(*LATER, "gradients"))
def local_linearity(case: ModelCase) -> str:
    """It is stated whether its logits are locally linear, where curvature has a closed form."""
    x = case.x[:2].clone().requires_grad_()
    if piecewise_linear(case.victim(x), x):
        return "locally linear: exact curvature from one graph"
    return "not locally linear by its operations: curvature by second derivatives"


@clause("let the network compute its logits from parameters", after=LATER)
def all_layers(case: ModelCase) -> str:
    """Attacks on all layers can change its parameters."""
    kinds = layer_kinds(case.victim, case.x)
    if set(kinds.values()) <= {"frozen"}:
        raise Doubtful("it has no parameters that may move: no attack can change all layers")
    modules = dict(case.victim.named_modules())
    names = [(type(modules[name]).__name__, METRICS[kind]) for name, kind in kinds.items()]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    return ", ".join(f"{count} {kind}{how}" for (kind, how), count in counts.items())


@clause("use a smaller network or smaller images", after=("returns_logits",))
def seconds(case: ModelCase) -> str:
    """The time of a pass is stated."""
    single, many = case.seconds(1), case.seconds(64)
    return f"{_time(single)} for 1 image, {_time(many)} for 64 images"


def _time(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"


@clause("use a smaller network, or a smaller targets.shard", after=LATER)
def memory(case: ModelCase) -> str:
    """The memory of poisoned models is stated."""
    sizes = {name: v.numel() * 4 for name, v in case.victim.named_parameters()}
    head = sum(size for name, size in sizes.items() if name in HEAD)
    every, shard = sum(sizes.values()), case.suite.targets.shard
    together = f"{shard} of all layers at once {_bytes(every * shard)}"
    return f"a copy of the last layer {_bytes(head)}, of all layers {_bytes(every)}; {together}"


def _bytes(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count = count / 1024  # type: ignore[assignment]
    return f"{count:.3g} GiB"


PARTS = (adopted, last_layer, batch_norm, local_linearity, all_layers, seconds, memory)
