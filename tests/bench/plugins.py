"""Attacks and detectors for the tests, sound and faulty; suites name them by file."""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from evil_twins.attacks.base import Attacked, AttackerView, Nature
from evil_twins.attacks.models import PairedModels
from evil_twins.bench.errors import UserError
from evil_twins.detectors.base import DefenderView


class Odd(Exception):
    """An error whose text cannot be read."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@dataclass(frozen=True)
class Shift:
    """An attack that adds a constant to every pixel, with an optional fault."""

    amount: float = 0.1
    fault: Literal[
        "",
        "range",
        "nan",
        "shape",
        "type",
        "models",
        "secret",
        "doubtful",
        "raise",
        "odd",
        "vandal",
        "huge",
        "exit",
        "long",
    ] = ""
    poison: bool = False
    seconds: float = 0.0

    kappa: ClassVar[None] = None

    @property
    def nature(self) -> Nature:
        return Nature("both" if self.poison else "inputs")

    def __call__(self, view: AttackerView) -> Attacked:
        if log := os.environ.get("EXECUTED"):
            with Path(log).open("a") as file:
                file.write(f"{self.amount} {self.poison}\n")
        time.sleep(self.seconds)
        if self.fault == "exit":
            sys.exit(3)
        n = len(view.targets)
        x = (view.targets.x + self.amount).clamp(0, 1)
        if self.fault == "range":
            x = x + 1
        elif self.fault == "nan":
            x[0, 0, 0, 0] = torch.nan
        elif self.fault == "shape":
            x = x[:, :, 1:]
        elif self.fault == "raise":
            raise RuntimeError("the attack\nfell over")
        elif self.fault == "odd":
            raise Odd
        elif self.fault == "long":
            raise UserError("long " * 1_000_000)
        elif self.fault == "vandal":
            view.victim.head.weight.data.zero_()
            view.targets.x.zero_()
        moved = {}
        if self.poison or self.fault == "secret":  # of which its nature says nothing
            moved["head.bias"] = view.victim.head.bias.repeat(n, 1) + 0.5
        if self.fault == "huge":
            moved = {k: v.expand(n, *v.shape) for k, v in view.victim.named_parameters()}
        models = PairedModels(view.victim, n + (self.fault == "models"), moved)
        zeros = torch.zeros(n)
        confidence = zeros.log() if self.fault == "doubtful" else zeros
        done = Attacked(x, models, confidence, zeros.long() - 1, zeros.long())
        return done if self.fault != "type" else done.x  # type: ignore[return-value]


@dataclass(frozen=True)
class Doubt:
    """One minus the largest softmax output, or the threads, with an optional fault."""

    fault: Literal[
        "", "nan", "length", "list", "raise", "memory", "die", "kill", "hang", "meddle", "scrawl"
    ] = ""
    counts: bool = False
    scale: float = 1.0
    knowledge: ClassVar[str] = "K0"

    @property
    def preparation(self) -> None:
        return

    def fit(self, view: DefenderView) -> Callable[[Tensor], Tensor]:
        if self.fault == "die":
            os._exit(7)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(600)
        if self.fault == "raise":
            raise RuntimeError("the detector\nfell over")
        if self.fault == "memory":
            torch.empty(2**60, dtype=torch.uint8)
        if self.fault == "meddle":
            with torch.no_grad():
                for value in view.model.parameters():
                    value.zero_()

        def score(x: Tensor) -> Tensor:
            with torch.no_grad():
                doubt = 1 - view.model(x).softmax(1).amax(1)
            if self.counts:
                doubt = torch.full_like(doubt, torch.get_num_threads())
            if self.fault == "nan":
                doubt[0] = torch.nan
            if self.fault == "length":
                doubt = doubt[1:]
            if self.fault == "scrawl":
                x.zero_()
            return doubt.tolist() if self.fault == "list" else self.scale * doubt

        return score


@dataclass(frozen=True)
class Mean:
    """The preparation of `Far`: the mean benign image."""

    weight: float

    def __call__(self, benign: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        return {"mean": self.weight * benign.mean(0)}


@dataclass(frozen=True)
class Far:
    """Distance from the mean benign image, with a preparation and with details."""

    weight: float = 1.0
    sign: float = 1.0
    knowledge: ClassVar[str] = "K1"

    @property
    def preparation(self) -> Mean:
        return Mean(self.weight)

    def fit(self, view: DefenderView) -> "FarScorer":
        return FarScorer(view.prepared["mean"], self.sign)


@dataclass(frozen=True)
class FarScorer:
    mean: Tensor
    sign: float

    def __call__(self, x: Tensor) -> Tensor:
        return self.sign * (x - self.mean).flatten(1).norm(dim=1)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        return {"brightness": x.flatten(1).mean(1)}


def again(attack: Shift) -> Shift:
    """No dataclass: a suite cannot name it."""
    return replace(attack)
