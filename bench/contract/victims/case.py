"""The case that the clauses of a victim judge: a network, images, and its passes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from evil_twins.bench.contract.clause import Broken, Inapplicable
from evil_twins.bench.contract.victims.origins import (
    OfMemory,
    Origin,
    Scale,
    shape_of,
    usual_scales,
)
from evil_twins.bench.errors import Fault, UserError
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Dataset, Images
from evil_twins.bench.subjects.networks import adoption
from evil_twins.bench.subjects.networks.outputs import outputs_of
from evil_twins.bench.subjects.networks.passes import passed
from evil_twins.bench.subjects.networks.probes import probes
from evil_twins.bench.suite.suite import Suite

SAMPLE, FEWEST = 512, 32
"""Most and fewest images of one accuracy."""

SECONDS = 2.0
"""Seconds that one accuracy may take with more than the fewest images."""

BATCH = 64
"""Images in one pass."""


@dataclass(frozen=True, eq=False)
class ModelCase:
    """A network and the images that it is judged by.

    Attributes:
        origin: The network.
        images: Images of its data, or noise.
        suite: The suite whose attacks and detectors it may have.
        classes: Names of the classes of the data; None without data.
        test: Test images of its data, or None.
        dataset: Its data in splits, or None.
        device: "cpu" or "cuda".
    """

    origin: Origin
    images: Images
    suite: Suite
    classes: tuple[str, ...] | None = None
    test: Images | None = None
    dataset: Dataset | None = None
    device: str = "cpu"

    @cached_property
    def module(self) -> nn.Module:
        """The network as its user has it, in eval mode and frozen."""
        try:
            module = self.origin.module(self.images)
        except UserError as error:
            raise broken(error) from error
        frozen: nn.Module = adoption.frozen(module)
        return frozen.to(self.device)

    @cached_property
    def scale(self) -> Scale:
        """The normalisation outside of the network."""
        channels = self.images.pixels.shape[1]
        network = self.origin.network
        if network is None:
            return Scale.of([0.0] * channels, [1.0] * channels)
        return Scale(*adoption.scale(network, channels))

    @cached_property
    def x(self) -> Tensor:
        """A few images (N, C, H, W) in [0, 1]."""
        return probes(self.images).to(self.device)

    def outputs(self, x: Tensor) -> Any:
        """Return the unchecked outputs of the network for images in [0, 1]."""
        return self.module(self.scale(x))

    @cached_property
    def z(self) -> Tensor:
        """The checked outputs (N, K') of the network for `x`."""
        with torch.no_grad():
            z = self.outputs(self.x)
        width = z.shape[-1] if isinstance(z, Tensor) and z.dim() == 2 else 0
        return passed(self.module, self.scale(self.x), width)

    @property
    def rows(self) -> Tensor | None:
        """The output of each class of the data; None if these are the outputs."""
        return outputs_of(self.origin.outputs, self.classes) if self.classes else None

    @cached_property
    def victim(self) -> Classifier:
        """The victim, as a suite makes it."""
        names = self.classes or tuple(str(i) for i in range(self.z.shape[1]))
        if not self.classes and self.origin.outputs:
            names = self.origin.outputs
        try:
            return self.origin.victim(self.images, names).to(self.device)
        except UserError as error:
            raise broken(error) from error

    @cached_property
    def sample(self) -> Images:
        """Labelled images for accuracies, as many as take a few seconds."""
        if self.test is None:
            raise Inapplicable(f"no data is given; remedy: {self.data_option}")
        if not self.origin.trained:
            raise Inapplicable("it has no weights: a suite would train it")
        if len(self.test) < FEWEST:
            raise Inapplicable(f"{len(self.test)} test images are too few to measure an accuracy")
        count = int(SECONDS / max(self.seconds(8) / 8, 1e-9))
        count = min(len(self.test), max(FEWEST, min(SAMPLE, count)))
        return self.test.take(torch.arange(count) * len(self.test) // count)

    @torch.no_grad()
    def predicted(self, x: Tensor, scale: Scale) -> Tensor:
        """Return the most likely output (N,) for images in [0, 1], on the CPU."""
        z = [self.module(scale(batch.to(self.device))) for batch in x.split(BATCH)]
        return torch.cat(z).nan_to_num(-torch.inf).argmax(1).cpu()

    def right(self, x: Tensor, scale: Scale) -> float:
        """Return the share of the sample that is classified correctly, its images replaced by x."""
        label = self.sample.label
        expected = label if self.rows is None else self.rows[label]
        return float((self.predicted(x, scale) == expected).double().mean())

    @cached_property
    def accuracies(self) -> list[tuple[str, Scale, float]]:
        """The accuracy with each usual normalisation and its name; that of the user comes first."""
        scales = [("", self.scale), *usual_scales(self.images)]
        x = self.sample.x
        return [(name, scale, self.right(x, scale)) for name, scale in scales]

    @torch.no_grad()
    def seconds(self, count: int) -> float:
        """Return the median time of three passes of `count` images."""
        x = self.x.repeat(count // len(self.x) + 1, 1, 1, 1)[:count]
        times = []
        for _ in range(3):
            start = time.perf_counter()
            self.outputs(x)
            if self.device == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return sorted(times)[1]

    @property
    def in_memory(self) -> bool:
        """Whether it is a network in memory, to which no option of the command line applies."""
        return isinstance(self.origin, OfMemory)

    @property
    def data_option(self) -> str:
        """The argument that gives data."""
        return "data=(x, y)" if self.in_memory else "--data"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of the images."""
        return shape_of(self.images)


def broken(error: UserError | Fault) -> Broken:
    """Return the broken clause of a user's mistake, with the remedy of its last line."""
    lines = error.lines if isinstance(error, UserError) else (str(error),)
    remedies = [line for line in lines if line.startswith("remedy: ")]
    facts = [line for line in lines if line not in remedies]
    return Broken("; ".join(facts), remedies[0].removeprefix("remedy: ") if remedies else "")
