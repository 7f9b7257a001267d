"""The durability cell: the effect of an attack after each treatment by an honest defender."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import nan

import pandas as pd
import torch
from torch import Tensor, nn

from evil_twins.attacks.base import AttackerView
from evil_twins.attacks.efficacy import Level, margin
from evil_twins.attacks.models import BATCH, PairedModels
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.success import Trials
from evil_twins.bench.cells import attack, measure, seeds
from evil_twins.bench.cells.faced import faced_models
from evil_twins.bench.cells.stored import Tensors
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components import finite
from evil_twins.bench.errors import Damaged
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import ATTACKED
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.durability import Treatments
from evil_twins.bench.subjects.treatments import compress, fine_tune, prune, quantise

Change = Callable[[Tensor], Tensor]
"""Images (..., C, H, W) -> the images that arrive."""


@dataclass(frozen=True, eq=False)
class Case:
    """The result of a finished attack cell, with its distinct models.

    Attributes:
        view: The view with its N targets.
        ids: Names of the targets.
        names: Names of the first target of each of G distinct models (G,); "" for the victim.
        models: The G models.
        place: Position of the model of each target, (N,).
        x: The attacked inputs (N, C, H, W).
        stamp: The triggers, or None.
        enough: The log-odds that each target needs (N,); infinite for an attack without κ.
    """

    view: AttackerView
    ids: tuple[str, ...]
    names: tuple[str, ...]
    models: PairedModels
    place: Tensor
    x: Tensor
    stamp: Stamp | None
    enough: Tensor

    @classmethod
    def of(cls, work: Work) -> Case:
        """Read the attack cell that is a parent of this one.

        Raises:
            Damaged: A file of it is of another form.
        """
        method, folder = work.build(), work.parents["attack"]
        view, images = attack.view_of(work, method.kappa, trigger=method.nature.trigger)
        targets = records.read(folder / "targets.parquet", records.PARTS["targets"])
        tensors = Tensors(folder / ATTACKED, work.device)
        x = tensors.images("x")
        if x.shape != view.targets.x.shape or tuple(targets["target_id"]) != images.ids:
            raise Damaged(folder / ATTACKED, "it holds other targets than this cell")
        models = faced_models(folder, work.victim, len(x), work.device)
        group = targets["group"] if models.parameters else pd.Series("", range(len(x)))
        place, names = pd.factorize(group)
        first = torch.as_tensor([*group.drop_duplicates().index], device=work.device)
        stamp = Stamp(tensors["mask"], tensors["pattern"]) if method.nature.trigger else None
        never = torch.full((len(x),), torch.inf, dtype=torch.float64)
        enough = never if method.kappa is None else Level.of(view, method.kappa).enough.cpu()
        index = torch.as_tensor(place, device=work.device)
        few = models.rows(first)
        return cls(view, images.ids, tuple(names), few, index, x, stamp, enough)

    def effect(self, models: PairedModels, change: Change, heldout: Images) -> pd.DataFrame:
        """Return the part of durability: the effect under treated models, on treated images."""
        goal = self.view.targets.goal
        logits = measure.outputs(models.rows(self.place), change(self.x))
        log_odds = margin(logits, goal.cpu())
        right = accuracy(models, heldout, change)
        return pd.DataFrame(
            {
                "confidence": logits.softmax(1).gather(1, goal.cpu().unsqueeze(1)).squeeze(1),
                "at_kappa": log_odds >= self.enough,
                "gets_goal": logits.argmax(1) == goal.cpu(),
                "asr": self.success_rates(models, change),
                "accuracy": right[self.place.cpu()],
            }
        )

    def success_rates(self, models: PairedModels, change: Change) -> Tensor:
        """Measure the success rate of the trigger of each target, (N,) or NaN without one."""
        n = len(self.x)
        if self.stamp is None:
            return torch.full((n,), nan, dtype=torch.float64)
        stamp, serves = self.stamp, n // len(self.stamp)
        trials = Trials.of(self.view, self.view.targets.goal[::serves])
        rates = trials.rates(models.rows(self.place[::serves]), lambda x: change(stamp(x)))
        return rates.repeat_interleave(serves).cpu()


@torch.no_grad()
def accuracy(models: PairedModels, images: Images, change: Change) -> Tensor:
    """Measure the accuracy (G,) of G models on M images, as they arrive.

    Raises:
        Fault: Some logits are not finite.
    """
    right, device = torch.zeros(len(models)), models.victim.head.weight.device
    for x, label in zip(images.x.split(BATCH), images.label.split(BATCH), strict=True):
        inputs = models.features(change(x.to(device)).unsqueeze(0))
        logits = finite.logits(models.logits(inputs), measure.FACED)
        right += (logits.argmax(-1).cpu() == label).sum(-1)
    return right / len(images)


def changed(case: Case, treat: Callable[[nn.Module, int], None]) -> PairedModels:
    """Return copies of the distinct models after a treatment in place."""
    modules = [copy.deepcopy(case.models[i]) for i in range(len(case.models))]
    for i, module in enumerate(modules):
        treat(module, i)
    weights = [dict(module.named_parameters()) for module in modules]
    names = {name: torch.stack([each[name].detach() for each in weights]) for name in weights[0]}
    return PairedModels(case.models.victim, len(modules), names)


def treated(case: Case, settings: Treatments, work: Work) -> Iterator[tuple[str, PairedModels]]:
    """Yield the name of each treatment of models, and the treated models."""
    data = work.dataset

    def draws(i: int) -> torch.Generator:
        return seeds.generator(data.name, case.names[i], "treatment", 0)

    yield "none", case.models
    yield "fine-tuning", changed(case, lambda m, i: fine_tune(m, data.fit, settings, draws(i)))
    yield "pruning", changed(case, lambda m, _: prune(m, settings))
    yield "int8", changed(case, lambda m, _: quantise(m))


def run(work: Work) -> None:
    """Treat the models and the inputs of an attack cell; store the effect after each treatment."""
    case, settings = Case.of(work), Treatments(**work.spec["treatments"])
    heldout = work.dataset.heldout
    parts = {
        name: case.effect(models, lambda x: x, heldout)
        for name, models in treated(case, settings, work)
    }
    parts["jpeg"] = case.effect(case.models, partial(compress, settings=settings), heldout)
    frames = [part.assign(target_id=case.ids, treatment=name) for name, part in parts.items()]
    records.write(pd.concat(frames), records.PARTS["durability"], work.out / "durability.parquet")
