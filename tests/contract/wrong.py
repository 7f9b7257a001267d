"""Detectors and attacks that break the clauses that name their faults."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.attacks.steps.trigger import TriggerStep
from evil_twins.attacks.trigger_loop import stamped
from evil_twins.attacks.universal import Universal
from evil_twins.detectors.base import DefenderView

FIRST_SCORES = WeakKeyDictionary[nn.Module, Tensor]()


def doubt(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return (1 - model(x).softmax(1).amax(1)).double()


@dataclass(frozen=True)
class Mean:
    fault: str = ""

    def __call__(self, benign: Tensor, generator: torch.Generator) -> Any:
        mean = benign.mean(0)
        if self.fault == "prepares chance":
            mean = mean + torch.rand(())
        if self.fault == "prepares nan":
            mean = mean / 0 * 0
        if self.fault == "prepares scrawl":
            benign.zero_()
        return [mean] if self.fault == "prepares list" else {"mean": mean}


@dataclass(frozen=True)
class Wrong:
    """One minus the largest softmax output under the faced model, but for its fault."""

    fault: str = ""

    @property
    def knowledge(self) -> str:
        return "K1" if self.fault.startswith(("prepares", "knowledge K1")) else "K0"

    @property
    def preparation(self) -> Mean | None:
        needs = self.fault.startswith("prepares") or self.fault == "knowledge prepared"
        return Mean(self.fault) if needs else None

    def fit(self, view: DefenderView) -> Callable[[Tensor], Any]:
        calls: list[int] = []
        model, scale = view.model, 1.0
        _meddle(self.fault, view)
        if self.fault == "knowledge benign":
            scale = float(view.benign.mean())
        if self.fault == "seeded fit":
            scale = 1 + random.random()
        if self.fault == "anew":
            first = FIRST_SCORES.setdefault(model, model(view.benign * 0 + 0.5)[0])

        def score(x: Tensor) -> Any:
            values = scale * doubt(model, x)
            calls.append(len(calls))
            if self.fault == "prepares":
                values = values + (x - view.prepared["mean"]).abs().mean((1, 2, 3)).double()
            if self.fault == "anew":
                values = values + first.double().sum()
            if self.fault == "untouched x":
                x.zero_()
            return _bent(self.fault, values, len(calls), x, model)

        return score


def _raise(error: BaseException) -> None:
    raise error


def _meddle(fault: str, view: DefenderView) -> None:
    """Change what a detector must not change: its view or the process."""
    model = view.model
    changes: dict[str, Callable[[], object]] = {
        "runs raise": lambda: _raise(RuntimeError("the detector\nfell over")),
        "runs exit": lambda: _raise(SystemExit(3)),
        "untouched weights": lambda: next(model.parameters()).data.mul_(1.5),
        "untouched mode": model.train,
        "untouched frozen": lambda: model.requires_grad_(True),
        "untouched hook": lambda: model.register_forward_hook(lambda *_: None),
        "untouched benign": lambda: view.benign.mul_(0.5),
        "untouched dtype": lambda: torch.set_default_dtype(torch.float64),
        "untouched threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
        "untouched grad": lambda: torch.set_grad_enabled(False),
        "untouched torch": lambda: torch.manual_seed(0),
        "untouched numpy": lambda: np.random.seed(0),
        "untouched python": lambda: random.seed(0),
    }
    changes.get(fault, lambda: None)()


def _bent(fault: str, values: Tensor, calls: int, x: Tensor, model: nn.Module) -> Any:
    """Return what a detector gives in place of sound scores."""
    places = torch.arange(len(values))
    bent: dict[str, Callable[[], Any]] = {
        "numbers list": values.tolist,
        "numbers nan": lambda: torch.where(places == 0, torch.nan, values),
        "numbers shape": lambda: values.unsqueeze(1),
        "numbers integer": lambda: (1e6 * values).long(),
        "numbers half": lambda: (1e3 * values).half(),
        "numbers graph": lambda: values * torch.ones((), requires_grad=True),
        "seeded call": lambda: values + torch.rand(()),
        "independent mean": lambda: values - values.mean(),
        "independent place": lambda: values + places,
        "flags drift": lambda: values + calls,
        "flags nothing": lambda: torch.full_like(values, 0.5),
        "flags decisions": lambda: (values > 0.6).double(),
        "direction": lambda: -values,
    }
    return bent[fault]() if fault in bent else values


@dataclass
class Loose:
    """A detector that is no frozen dataclass."""

    knowledge: ClassVar[str] = "K0"
    preparation: ClassVar[None] = None

    def fit(self, view: DefenderView) -> Callable[[Tensor], Tensor]:
        return lambda x: doubt(view.model, x)


@dataclass(frozen=True)
class WrongAttack:
    """PGD of a few rounds, but for its fault."""

    fault: str = ""
    input: InputStep = field(default_factory=InputStep)
    model: ModelStep = field(default_factory=ModelStep)

    @property
    def kappa(self) -> float | None:
        return {"efficacy over": 0.5, "efficacy never": 0.99}.get(self.fault, 0.75)

    @property
    def nature(self) -> Nature:
        return Nature(
            "both",
            norm=self.input.norm,
            eps=self.input.eps,
            layers=self.model.layers,
            delta=self.model.delta,
        )

    def __call__(self, view: AttackerView) -> Any:
        _vandalise(self.fault, view)
        done = PGD(InputStep(), 0.75, rounds=20)(view)
        x, n, moved, stated = done.x, len(done.x), {}, done.confidence
        if self.fault == "repeated":
            x = x + 1e-6 * torch.rand(())
        if self.fault == "independent":
            x = x + (x - view.targets.x).mean(0)
        if self.fault == "labels":
            x = x + 1e-6 * view.targets.label.view(-1, 1, 1, 1)
        if self.fault == "limits":
            x = view.targets.x + (x - view.targets.x).clamp(-0.1, 0.1)
        if self.fault == "confidence":
            stated = stated - 0.1
        if self.fault == "layers":
            body = view.victim.trunk[0].bias  # type: ignore[attr-defined]
            moved = {"trunk.0.bias": body.expand(n, -1).clone()}
        if self.fault == "sound graph":
            x = x.clone().requires_grad_()
        if self.fault == "sound models":
            n += 1
        x = {"sound range": x + 1, "sound shape": x[:, :, 1:]}.get(self.fault, x)
        if self.fault in ("repeated", "independent", "labels", "limits"):
            x = x.clamp(0, 1)
            stated = PairedModels(view.victim, n, {}).confidence(x, view.targets.goal)
        models = PairedModels(view.victim, n, moved)
        return Attacked(x, models, stated, done.rounds, done.passes)


def _vandalise(fault: str, view: AttackerView) -> None:
    changes: dict[str, Callable[[], object]] = {
        "runs raise": lambda: _raise(RuntimeError("the attack\nfell over")),
        "untouched victim": lambda: view.victim.head.weight.data.mul_(1.001),
        "untouched targets": lambda: view.targets.x.mul_(0.999),
        "untouched torch": lambda: torch.manual_seed(0),
        "untouched threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    }
    changes.get(fault, lambda: None)()


@dataclass(frozen=True)
class Stronger:
    """A universal trigger that is made twice as strong at its end."""

    trigger: TriggerStep
    kappa: ClassVar[None] = None

    @property
    def nature(self) -> Nature:
        return Universal(self.trigger).nature

    def __call__(self, view: AttackerView) -> Attacked:
        result = Universal(self.trigger, 20)(view)
        assert result.stamp is not None
        stamp = result.stamp.scaled(torch.full((len(result.stamp),), 2.0))
        return stamped(view, 1, stamp, result.models, result.passes, result.rounds)
