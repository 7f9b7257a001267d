"""The request of `evil-twins score`: files and names, read and checked against each other."""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import torch
from torch import Tensor

from evil_twins.bench.components.containment import user_code
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import data, inputs, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.networks import adoption, probes, states
from evil_twins.bench.subjects.networks.network import PROGRAMS, Network, locate
from evil_twins.bench.subjects.parts import Tally, name_of, sha


@dataclass(frozen=True)
class Benign:
    """Clean images, cut into disjoint parts.

    Attributes:
        name: Name of the data in the seeds.
        train: Images (M, C, H, W) for the preparations of detectors.
        fit: Images for the rest of their fitting.
        calibration: Images (n, C, H, W) for thresholds and p-values.
        tally: Numbers of images that were converted, and of files that were skipped.
    """

    name: str
    train: Tensor
    fit: Tensor
    calibration: Tensor
    tally: Tally


@dataclass(frozen=True)
class Request:
    """The arguments of `score`.

    Attributes:
        victim: File of the benign model.
        faced: File of the model to judge.
        inputs: Images to score, as `evil_twins.bench.subjects.inputs.read` takes them.
        benign: Clean images in the same forms, or None for images of the data set.
        dataset: Name of a data set, if `benign` is None.
        root: Where data sets lie, or None for the default place.
        detectors: The suite with the detectors.
        fpr: Share of benign images that each detector may flag.
        network: The code of both models, if they are not of this project. Of programs only its
            normalisation counts.
        shape: (C, H, W) of its images; None: those of the data set.
    """

    victim: Path
    faced: Path
    inputs: Path
    benign: Path | None
    dataset: str | None
    root: Path | None
    detectors: str
    fpr: float
    network: Network | None = None
    shape: tuple[int, int, int] | None = None

    def models(self) -> tuple[Classifier, Classifier]:
        """Read the victim and the faced model.

        Raises:
            UserError: One is missing or damaged, or they do not fit each other.
        """
        if self.network is None:
            victim, faced = (weights.load(path, None) for path in (self.victim, self.faced))
        else:
            victim, faced = self._adopted(self.network)
        expected, actual = (
            f"{model.classes} classes for images {tuple(model.shape)}" for model in (victim, faced)
        )
        if actual != expected:
            raise UserError(
                f"{self.faced}: {actual}", f"expected: {expected}, as the victim has them"
            )
        return victim, faced

    def _adopted(self, network: Network) -> list[Classifier]:
        """Make models of the code and of both files, or of two programs.

        Noise shows the parts of the network.

        Raises:
            UserError: They do not fit, or the shape of the images is not known.
        """
        noise = probes.noise(self._shape(network))
        return [_adopted(network, path, noise) for path in (self.victim, self.faced)]

    def _shape(self, network: Network) -> tuple[int, int, int]:
        if self.dataset is not None:
            size = self.shape[1] if self.shape else None
            images = data.load(self.dataset, self.root, size=size).train
            _, channels, height, width = images.pixels.shape
            return channels, height, width
        if self.shape is None:
            raise UserError(
                f"the shape of the images of {network.name} is not known",
                "remedy: give --shape, such as 3,32,32",
            )
        return self.shape

    def clean(self, model: Classifier) -> Benign:
        """Read clean images for a model: the splits of a data set, or a folder cut in two by names.

        Raises:
            UserError: There are none, too few for the share that may be flagged, or unfit ones.
        """
        if not 0 < self.fpr < 1:
            raise UserError(
                f"--fpr {self.fpr:g}", "expected: a share between 0 and 1, such as 0.05"
            )
        if (self.benign is None) == (self.dataset is None):
            raise UserError(
                "clean images are needed, from one place",
                "remedy: give a folder with --benign, or the name of a data set with --dataset",
            )
        benign = self._folder(self.benign, model) if self.benign else self._dataset(model)
        needed, n = max(1, ceil(round(1 / self.fpr, 9)) - 1), len(benign.calibration)
        if n < needed or not len(benign.fit):
            raise UserError(
                f"{n} benign images are left for thresholds; --fpr {self.fpr:g} needs {needed}",
                "remedy: a larger --fpr, or more images; half of those in --benign go into fitting",
            )
        return benign

    def _folder(self, place: Path, model: Classifier) -> Benign:
        names, x, tally = inputs.read(place, model.shape)
        order = torch.tensor(sorted(range(len(names)), key=lambda i: sha(names[i])))
        fit, calibration = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
        return Benign(name_of(place.name), fit, fit, calibration, tally)

    def _dataset(self, model: Classifier) -> Benign:
        assert self.dataset is not None
        side = model.shape[1] if model.shape[1] == model.shape[2] else None
        dataset = data.load(self.dataset, self.root, size=side)
        shape = tuple(dataset.train.pixels.shape[1:])
        if shape != tuple(model.shape):
            raise UserError(
                f"{self.dataset} has images {shape}",
                f"expected: {tuple(model.shape)}, as the models have them",
            )
        calibration = torch.cat([dataset.calibration.x, dataset.fpr.x])
        return Benign(dataset.name, dataset.train.x, dataset.fit.x, calibration, dataset.tally)


def _adopted(network: Network, path: Path, noise: Images) -> Classifier:
    """Make a model of code and a file of weights, or of a program.

    Raises:
        UserError: They do not fit each other.
    """
    if path.suffix in PROGRAMS:
        network = replace(network, place=str(path.absolute()))
        count = _width(network, noise)
    elif network.is_program:
        raise UserError(
            f"{path} has weights without code, and {network.name} brings its own",
            "expected: --victim and --faced of one form",
            "remedy: two programs, or --architecture with the code of both",
        )
    else:
        count = states.outputs(states.read(path))
    model: Classifier = adoption.adopt(network, path, [str(i) for i in range(count)], noise)
    return model


def _width(network: Network, images: Images) -> int:
    """Return the number of outputs of a program; 0 if it returns no matrix.

    Raises:
        UserError: It cannot be read, or fails.
    """
    channels, height, width = images.pixels.shape[1:]
    shape, x = (channels, height, width), images.x
    module = adoption.frozen(network.build(0, shape))
    failure = f"architecture {network.name!r} takes no images {shape}"
    with user_code(failure, "remedy: give their shape"), torch.no_grad():
        z = module(x)
    return z.shape[-1] if isinstance(z, Tensor) and z.dim() == 2 else 0


def program(victim: Path) -> str:
    """Return the path of a file that is a program, which needs no code; else ""."""
    return str(victim) if victim.suffix in PROGRAMS else ""


def network_of(architecture: str, normalise: str | None) -> Network:
    """Return the network that options name.

    Args:
        architecture: Its place, with paths relative to the working directory.
        normalise: Means and deviations, such as "0.5/0.25", or None.

    Raises:
        UserError: One of them is of another form.
    """
    mean, std = tuple[float, ...](), tuple[float, ...]()
    if normalise is not None:
        try:
            mean, std = (tuple(map(float, part.split(","))) for part in normalise.split("/"))
        except ValueError as error:
            raise UserError(
                f"--normalise {normalise}",
                "expected: means and deviations, such as .485,.456,.406/.229,.224,.225",
            ) from error
    return Network(locate(architecture, Path.cwd()), mean, std)


def shape_of(shape: str) -> tuple[int, int, int]:
    """Return the shape (C, H, W) that an option names.

    Raises:
        UserError: It is of another form.
    """
    try:
        channels, height, width = (int(part) for part in shape.split(","))
    except ValueError as error:
        raise UserError(f"--shape {shape}", "expected: three numbers, such as 3,32,32") from error
    return channels, height, width
