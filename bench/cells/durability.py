"""The durability cell: the effect of an attack after each treatment by an honest defender."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn

from evil_twins.attacks.efficacy import logit, margin
from evil_twins.attacks.models import BATCH, PairedModels
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.success import Trials
from evil_twins.bench.cells import measure, seeds
from evil_twins.bench.cells.attack import benign_log_odds
from evil_twins.bench.cells.faced import faced_models
from evil_twins.bench.cells.stored import Tensors
from evil_twins.bench.cells.targets import choose
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components import finite
from evil_twins.bench.errors import Damaged, Fault
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import ATTACKED
from evil_twins.bench.subjects.durability import Treatments
from evil_twins.bench.subjects.treatments import compress, fine_tune, prune, quantise

if TYPE_CHECKING:
    from evil_twins.attacks.base import Kappa
    from evil_twins.bench.subjects.data import Images

Change = Callable[[Tensor], Tensor]
"""Images (..., C, H, W) -> the images that arrive."""


@dataclass(frozen=True, eq=False)
class Case:
    """The result of a finished attack cell, with its distinct models.

    Attributes:
        ids: Names of the N targets.
        goal: Their goal classes (N,).
        x: The attacked inputs (N, C, H, W).
        names: Names of the first target of each of G distinct models (G,); "" for the victim.
        models: The G models.
        place: Position of the model of each target, (N,).
        stamp: The triggers, or None.
    """

    ids: tuple[str, ...]
    goal: Tensor
    x: Tensor
    names: tuple[str, ...]
    models: PairedModels
    place: Tensor
    stamp: Stamp | None

    @classmethod
    def of(cls, work: Work) -> Case:
        """Read the attack cell that is a parent of this one.

        Raises:
            Damaged: A file of it is of another form.
        """
        folder, device = work.parents["attack"], work.device
        images, goal = choose(work)
        targets = records.read(folder / "targets.parquet", records.PARTS["targets"])
        tensors = Tensors(folder / ATTACKED, device)
        x = tensors.images("x")
        if x.shape != images.pixels.shape or tuple(targets["target_id"]) != images.ids:
            raise Damaged(folder / ATTACKED, "it holds other targets than this cell")
        models = faced_models(folder, work.victim, len(x), device)
        group = targets["group"] if models.parameters else pd.Series("", range(len(x)))
        place, names = pd.factorize(group)
        first = torch.as_tensor([*group.drop_duplicates().index], device=device)
        stamp = Stamp(tensors["mask"], tensors["pattern"]) if "pattern" in tensors else None
        distinct, index = models.rows(first), torch.as_tensor(place, device=device)
        return cls(images.ids, goal.to(device), x, tuple(names), distinct, index, stamp)

    def effect(self, models: PairedModels, change: Change, heldout: Images) -> pd.DataFrame:
        """Measure the targets under G treated models, on inputs and images of R as they arrive.

        Raises:
            Fault: Some logits are not finite.
        """
        goal, logits = self.goal.cpu(), self._logits(models, change(self.x))
        return pd.DataFrame(
            {
                "confidence": logits.softmax(1).gather(1, goal.unsqueeze(1)).squeeze(1),
                "log_odds": margin(logits, goal),
                "gets_goal": logits.argmax(1) == goal,
                "asr": self._success_rates(models, change, heldout),
                "accuracy": accuracy(models, heldout, change)[self.place.cpu()],
            }
        )

    @torch.no_grad()
    def _logits(self, models: PairedModels, x: Tensor) -> Tensor:
        """Compute the logits of each input under its model, one model after another, (N, K)."""
        parts, order = [], []
        for i in range(len(models)):
            members = (self.place == i).nonzero().flatten()
            model = models.rows(members.new_tensor([i]))
            parts.append(model.logits(model.features(x[members].unsqueeze(0)))[0])
            order.append(members)
        logits = torch.cat(parts)[torch.cat(order).argsort()]
        return finite.logits(logits, measure.FACED).double().cpu()

    def _success_rates(self, models: PairedModels, change: Change, heldout: Images) -> Tensor:
        """Measure the success rate of the trigger of each target, (N,) or NaN without one."""
        n = len(self.x)
        if self.stamp is None:
            return torch.full((n,), nan, dtype=torch.float64)
        stamp, serves = self.stamp, n // len(self.stamp)
        x, label = heldout.x.to(self.x), heldout.label.to(self.goal)
        trials = Trials.among(x, label, self.goal[::serves])
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


def required(work: Work, kappa: Kappa | None, ids: tuple[str, ...]) -> Tensor:
    """Compute the log-odds that κ requires of each target, (N,); infinite without a κ."""
    if kappa == "benign":
        return benign_log_odds(work, ids).cpu()
    level = torch.inf if kappa is None else logit(float(kappa))
    return torch.full((len(ids),), level, dtype=torch.float64)


def changed(models: PairedModels, treat: Callable[[nn.Module, int], None]) -> PairedModels:
    """Return copies of G models after a treatment in place of each."""
    modules = [copy.deepcopy(models[i]) for i in range(len(models))]
    for i, module in enumerate(modules):
        treat(module, i)
    weights = [dict(module.named_parameters()) for module in modules]
    stacked = {name: torch.stack([each[name].detach() for each in weights]) for name in weights[0]}
    return PairedModels(models.victim, len(modules), stacked)


def treatments(case: Case, work: Work) -> Iterator[tuple[str, PairedModels, Change]]:
    """Yield the name of each treatment, the models after it, and its change of an image.

    Raises:
        Fault: The fine-tuning diverged.
    """
    settings, data = Treatments(**work.spec["treatments"]), work.dataset

    def tune(module: nn.Module, i: int) -> None:
        generator = seeds.generator(data.name, case.names[i], "treatment", 0)
        fine_tune(module, data.fit, settings, generator)
        if not all(bool(weight.isfinite().all()) for weight in module.parameters()):
            raise Fault(f"fine-tuning diverged; set durability.lr to less than {settings.lr:g}")

    def same(x: Tensor) -> Tensor:
        return x

    yield "none", case.models, same
    yield "fine-tuning", changed(case.models, tune), same
    yield "pruning", changed(case.models, lambda module, _: prune(module, settings)), same
    yield "int8", changed(case.models, lambda module, _: quantise(module)), same
    yield "jpeg", case.models, partial(compress, settings=settings)


def run(work: Work) -> None:
    """Treat the models and the inputs of an attack cell; store the effect after each treatment."""
    case, frames = Case.of(work), []
    enough = required(work, work.build().kappa, case.ids)
    for name, models, change in treatments(case, work):
        effect = case.effect(models, change, work.dataset.heldout)
        reached = effect["log_odds"].to_numpy() >= enough.numpy()
        frames.append(effect.assign(target_id=case.ids, treatment=name, at_kappa=reached))
    records.write(pd.concat(frames), records.PARTS["durability"], work.out / "durability.parquet")
