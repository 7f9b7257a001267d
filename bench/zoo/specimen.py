"""One model of a zoo with its inputs: stored, read back, and measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from evil_twins.attacks.models import PairedModels
from evil_twins.attacks.stamps import Stamp
from evil_twins.attacks.success import Trials
from evil_twins.bench.cells import measure
from evil_twins.bench.cells.stored import Tensors, save_tensors
from evil_twins.bench.components.faced import faced_models
from evil_twins.bench.components.precision import rounded
from evil_twins.bench.errors import Damaged, Fault
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.zoo.manifest import Effect

WEIGHTS = "weights."
"""Beginning of the names of parameters in a file."""


@dataclass(frozen=True, eq=False)
class Specimen:
    """A model, as its difference to a victim, and the inputs that it was made for.

    Attributes:
        models: One model.
        x: Its n inputs (n, C, H, W).
        goal: Their goal classes (n,).
        stamp: Its trigger, or None.
    """

    models: PairedModels
    x: Tensor
    goal: Tensor
    stamp: Stamp | None

    def save(self, path: Path) -> None:
        """Store it as safetensors: only the parameters that differ from the victim."""
        tensors = {WEIGHTS + name: value[0] for name, value in self.models.parameters.items()}
        tensors |= {"x": self.x, "goal": self.goal}
        if self.stamp is not None:
            tensors |= {"mask": self.stamp.mask, "pattern": self.stamp.pattern}
        save_tensors(tensors, path)

    @classmethod
    def load(cls, path: Path, victim: Classifier) -> Specimen:
        """Read what `save` stored.

        Raises:
            Damaged: The file is of another form, or its parameters are not those of the victim.
        """
        tensors = Tensors(path, victim.head.weight.device)
        named = {name: value for name, value in tensors.items() if name.startswith(WEIGHTS)}
        weights = {name.removeprefix(WEIGHTS): value[None] for name, value in named.items()}
        try:
            models = faced_models(weights, victim, 1, "the model")
        except Fault as error:
            raise Damaged(path, error) from error
        x, goal = tensors.images("x"), tensors["goal"]
        fits = x.shape[1:] == victim.shape and goal.shape == x.shape[:1] and len(x) > 0
        whole = goal.dtype == torch.int64 and bool(((goal >= 0) & (goal < victim.classes)).all())
        if not (fits and whole):
            raise Damaged(
                path, f"it holds x of {tuple(x.shape)}, goal {goal.flatten()[:8].tolist()}"
            )
        stamp = None
        if "pattern" in tensors:
            stamp = Stamp(rounded(tensors["mask"]), rounded(tensors["pattern"]))
            sizes = tuple(stamp.mask.shape), tuple(stamp.pattern.shape)
            finite = bool(stamp.mask.isfinite().all()) and bool(stamp.pattern.isfinite().all())
            if sizes != ((1, 1, *victim.shape[1:]), (1, *victim.shape)) or not finite:
                raise Damaged(path, f"it holds mask and pattern of {sizes}, or some are not finite")
        return cls(models, rounded(x), goal, stamp)

    def effect(self, heldout: Images, features: Tensor) -> Effect:
        """Measure it on its inputs and on the images of R, of whose features under the victim.

        Args:
            heldout: R.
            features: The features of R under the victim, (M, D).

        Raises:
            Fault: Some logits are not finite.
        """
        victim, n = self.models.victim, len(self.x)
        kl, _, drop = measure.harm(self.models, victim, heldout, features)
        right = victim.head(features).argmax(1).cpu() == heldout.label
        logits = measure.outputs(self.models.rows(torch.zeros(n).long()), self.x)
        sure = logits.softmax(1).gather(1, self.goal.cpu().unsqueeze(1))
        return Effect(
            accuracy=float(right.double().mean() - drop),
            kl=float(kl),
            won=int((logits.argmax(1) == self.goal.cpu()).sum()),
            confidence=float(sure.mean()),
            asr=self.success_rate(heldout),
        )

    def success_rate(self, heldout: Images) -> float | None:
        """Measure the success rate of the trigger on images of R, or return None without one."""
        if self.stamp is None:
            return None
        x, label = heldout.x.to(self.x), heldout.label.to(self.x.device)
        trials = Trials.among(x, label, self.goal[:1])
        return float(trials.rates(self.models, self.stamp))
