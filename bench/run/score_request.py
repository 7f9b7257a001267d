"""What `evil-twins score` is asked for: files and names, read and held against each other."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from torch import Tensor

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import data, image_files, victims
from evil_twins.bench.subjects.publishers import sha
from evil_twins.bench.subjects.victims import Classifier


@dataclass(frozen=True)
class Benign:
    """Clean data, cut into disjoint parts.

    Attributes:
        name: Names the data in the seeds.
        train: Images (M, C, H, W) for the part of a detector that depends on clean data alone.
        fit: Images for the rest of its fitting.
        calibration: Images (n, C, H, W) for thresholds and p-values.
    """

    name: str
    train: Tensor
    fit: Tensor
    calibration: Tensor


@dataclass(frozen=True)
class Asked:
    """What is asked of `score`.

    Attributes:
        victim: File of the benign model.
        faced: File of the model to judge.
        inputs: Images to score, as `evil_twins.bench.subjects.image_files.read` takes them.
        benign: Clean images in the same forms, or None for those of the data set.
        dataset: Name of a data set, if there are no other clean images.
        root: Where data sets lie, or None for the default place.
        detectors: The suite whose detectors are used.
        fpr: Share of benign images that each detector may flag.
    """

    victim: Path
    faced: Path
    inputs: Path
    benign: Path | None
    dataset: str | None
    root: Path | None
    detectors: str
    fpr: float

    def models(self) -> tuple[Classifier, Classifier]:
        """The victim and the faced model.

        Raises:
            UserError: One is missing or damaged, or they do not fit each other.
        """
        victim, faced = victims.load(self.victim), victims.load(self.faced)
        kinds = [(model.classes, tuple(model.shape)) for model in (victim, faced)]
        if kinds[0] != kinds[1]:
            raise UserError(
                f"{self.faced}: {kinds[1][0]} classes for images {kinds[1][1]}\n"
                f"expected: {kinds[0][0]} classes for images {kinds[0][1]}, as the victim has them"
            )
        return victim, faced

    def clean(self, model: Classifier) -> Benign:
        """Clean images for a model: a data set's own splits, or a user's cut in two by their names.

        Raises:
            UserError: There are none, too few for the share that may be flagged, or unfit ones.
        """
        if not 0 < self.fpr < 1:
            raise UserError(f"--fpr {self.fpr:g}\nexpected: a share between 0 and 1, such as 0.05")
        if (self.benign is None) == (self.dataset is None):
            raise UserError(
                "clean images are needed, from one place\n"
                "remedy: give a folder with --benign, or the name of a data set with --dataset"
            )
        found = self._own(self.benign, model) if self.benign else self._set(model)
        needed, n = max(1, ceil(round(1 / self.fpr, 9)) - 1), len(found.calibration)
        if n < needed or not len(found.fit):
            raise UserError(
                f"{n} benign images are left for thresholds; --fpr {self.fpr:g} needs {needed}\n"
                "remedy: a larger --fpr, or more images; half of those in --benign go into fitting"
            )
        return found

    def _own(self, place: Path, model: Classifier) -> Benign:
        names, x = image_files.read(place, model.shape)
        order = torch.tensor(sorted(range(len(names)), key=lambda i: sha(names[i])))
        known, rest = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
        return Benign(place.name, known, known, rest)

    def _set(self, model: Classifier) -> Benign:
        assert self.dataset is not None
        side = model.shape[1] if model.shape[1] == model.shape[2] else None
        found = data.load(self.dataset, self.root, size=side)
        if tuple(found.train.pixels.shape[1:]) != tuple(model.shape):
            raise UserError(
                f"{self.dataset} has images {tuple(found.train.pixels.shape[1:])}\n"
                f"expected: {tuple(model.shape)}, as the models have them"
            )
        calibration = torch.cat([found.calibration.x, found.fpr.x])
        return Benign(found.name, found.train.x, found.fit.x, calibration)
