"""Detectors and attacks that break the clauses of the contract that they are named for."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.pgd import PGD
from evil_twins.attacks.steps.input import InputStep
from evil_twins.attacks.steps.model import ModelStep
from evil_twins.detectors.base import DefenderView

SEEN: dict[int, Tensor] = {}


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
            held = SEEN.setdefault(id(model), model(view.benign * 0 + 0.5)[0])

        def score(x: Tensor) -> Any:
            found = scale * doubt(model, x)
            calls.append(len(calls))
            if self.fault == "prepares":
                found = found + (x - view.prepared["mean"]).abs().mean((1, 2, 3)).double()
            if self.fault == "anew":
                found = found + held.double().sum()
            if self.fault == "untouched x":
                x.zero_()
            return _bent(self.fault, found, len(calls), x, model)

        return score


def _meddle(fault: str, view: DefenderView) -> None:
    """What a detector does to what it is given, or to the process."""
    match fault:
        case "runs raise":
            raise RuntimeError("the detector\nfell over")
        case "runs exit":
            raise SystemExit(3)
        case "runs hang":
            time.sleep(600)
        case "untouched weights":
            next(view.model.parameters()).data.mul_(1.5)
        case "untouched mode":
            view.model.train()
        case "untouched frozen":
            view.model.requires_grad_(True)
        case "untouched hook":
            view.model.register_forward_hook(lambda *_: None)
        case "untouched benign":
            view.benign.mul_(0.5)
        case "untouched dtype":
            torch.set_default_dtype(torch.float64)
        case "untouched threads":
            torch.set_num_threads(torch.get_num_threads() + 1)
        case "untouched grad":
            torch.set_grad_enabled(False)
        case "untouched torch":
            torch.manual_seed(0)
        case "untouched numpy":
            np.random.seed(0)
        case "untouched python":
            random.seed(0)


def _bent(fault: str, found: Tensor, calls: int, x: Tensor, model: nn.Module) -> Any:
    """What a detector returns in place of sound scores."""
    places = torch.arange(len(found))
    bent: dict[str, Callable[[], Any]] = {
        "numbers list": found.tolist,
        "numbers nan": lambda: torch.where(places == 0, torch.nan, found),
        "numbers shape": lambda: found.unsqueeze(1),
        "numbers integer": lambda: (1e6 * found).long(),
        "numbers half": lambda: (1e3 * found).half(),
        "numbers graph": lambda: found * torch.ones((), requires_grad=True),
        "seeded call": lambda: found + torch.rand(()),
        "independent mean": lambda: found - found.mean(),
        "independent place": lambda: found + places,
        "flags drift": lambda: found + calls,
        "flags nothing": lambda: torch.full_like(found, 0.5),
        "flags decisions": lambda: (found > 0.6).double(),
        "direction": lambda: -found,
    }
    return bent[fault]() if fault in bent else found


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
        if self.fault == "sound double":
            x = x.double()
        x = {"sound range": x + 1, "sound shape": x[:, :, 1:]}.get(self.fault, x)
        if self.fault in ("repeated", "independent", "labels", "limits"):
            x = x.clamp(0, 1)
            stated = PairedModels(view.victim, n, {}).confidence(x, view.targets.goal)
        models = PairedModels(view.victim, n, moved)
        return Attacked(x, models, stated, done.rounds, done.passes)


def _vandalise(fault: str, view: AttackerView) -> None:
    match fault:
        case "runs raise":
            raise RuntimeError("the attack\nfell over")
        case "untouched victim":
            view.victim.head.weight.data.mul_(1.001)
        case "untouched targets":
            view.targets.x.mul_(0.999)
        case "untouched torch":
            torch.manual_seed(0)
        case "untouched threads":
            torch.set_num_threads(torch.get_num_threads() + 1)
