"""Manifold transformation: MagNet (Meng & Chen, CCS 2017)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from evil_twins.detectors.base import (
    DefenderView,
    Logits,
    Preparation,
    RobustScale,
    batches,
    gained,
    logits,
)

CRITERIA = ("l1", "l2", "jsd10", "jsd40")


@dataclass(frozen=True)
class AutoEncoder:
    """Trains a small convolutional auto-encoder to take Gaussian noise off benign images.

    3 by 3 convolutions; where both sides are even, averages of 2 by 2 pixels on the way in and
    their repetition on the way out; a sigmoid at the end. Adam on the squared error, noise drawn
    afresh for every step. Steps are counted, not epochs: the cost does not grow with the data.

    Attributes:
        width: Channels inside.
        bottleneck: Channels at the narrowest place.
        noise: Standard deviation, in pixels of [0, 1].
        steps: Minibatches.
        batch: Images per minibatch.
        lr: Highest learning rate of Adam, under a one-cycle schedule.
    """

    width: int = 16
    bottleneck: int = 3
    noise: float = 0.1
    steps: int = 1000
    batch: int = 64
    lr: float = 1e-2

    def __call__(self, benign: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """The weights after training on benign images (M, C, H, W) in [0, 1].

        The same seed on one thread of one machine gives the same bits; the global generators are
        left as they were.
        """
        where = generator.device
        seed = int(torch.randint(2**62, (1,), generator=generator, device=where))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = self.network(benign).to(benign)
        optimizer = torch.optim.Adam(net.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps)
        with torch.enable_grad():
            for _ in range(self.steps):
                size = (min(self.batch, len(benign)),)
                index = torch.randint(len(benign), size, generator=generator, device=where)
                x = benign[index.to(benign.device)]
                draws = torch.randn(x.shape, generator=generator, device=where, dtype=x.dtype)
                loss = mse_loss(net(x + self.noise * draws.to(x.device)), x)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
        return {name: value.detach().clone() for name, value in net.state_dict().items()}

    def network(self, like: Tensor) -> nn.Sequential:
        """An untrained network for images like (N, C, H, W)."""
        channels, height, width = like.shape[1:]
        pool = height % 2 == 0 and width % 2 == 0
        return nn.Sequential(
            nn.Conv2d(channels, self.width, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2) if pool else nn.Identity(),
            nn.Conv2d(self.width, self.bottleneck, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(self.bottleneck, self.width, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2) if pool else nn.Identity(),
            nn.Conv2d(self.width, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def trained(self, like: Tensor, prepared: Mapping[str, Tensor]) -> nn.Sequential:
        """The network for images like (N, C, H, W), with weights that training returned.

        Raises:
            ValueError: The weights are missing or belong to another network.
        """
        with torch.device("meta"):
            net = self.network(like)
        try:
            net.load_state_dict(dict(prepared), assign=True)
        except RuntimeError as error:
            raise ValueError("the prepared weights do not fit this auto-encoder") from error
        return net.eval().requires_grad_(False)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence, in nats, of distributions (..., K) given by their logarithms."""
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=p.dtype))
    halves = p.exp() * (p - middle) + q.exp() * (q - middle)
    return halves.sum(-1).clamp_min(0) / 2


@dataclass(frozen=True)
class Manifold:
    """How far an input lies from its image under an auto-encoder of benign data.

    Attributes:
        criterion: "l1" and "l2", the mean of |x - AE(x)| and of its square over an image; "jsd10"
            and "jsd40", the divergence between the softmax outputs of the faced model at x and at
            AE(x), at temperature 10 or 40; "max", the largest of the four, each as a robust
            z-score of its logarithm among benign images. (A maximum of ranks among them would have
            a ceiling that many benign images share.)
        autoencoder: How it is made.
        benign: Images of the clean data that give "max" its scales, the first ones; all, if there
            are fewer.
    """

    criterion: Literal["max", "l1", "l2", "jsd10", "jsd40"] = "max"
    autoencoder: AutoEncoder = field(default_factory=AutoEncoder)
    benign: int = 1000
    knowledge: ClassVar[str] = "K1"

    @property
    def preparation(self) -> Preparation | None:
        """The training of the auto-encoder."""
        return self.autoencoder

    def fit(self, view: DefenderView) -> "ManifoldScorer":
        """A scorer under the faced model.

        Raises:
            ValueError: The view does not hold the weights of this auto-encoder.
        """
        net = self.autoencoder.trained(view.benign, view.prepared)
        if self.criterion != "max":
            return ManifoldScorer(view.model, net, {self.criterion: None})
        plain = ManifoldScorer(view.model, net, dict.fromkeys(CRITERIA))
        found = plain.criteria(view.benign[: self.benign])
        scales = {name: RobustScale.of(_log(value)) for name, value in found.items()}
        return ManifoldScorer(view.model, net, dict(scales))

    def penalty(self, view: DefenderView) -> "ManifoldPenalty":
        """The same criteria, by the attacker's own auto-encoder and benign images."""
        found = self.fit(view)
        return ManifoldPenalty(found.autoencoder, found.scales)


def _log(value: Tensor) -> Tensor:
    return value.clamp_min(torch.finfo(value.dtype).tiny).log()


@dataclass(frozen=True)
class ManifoldScorer:
    """Scores by reconstruction.

    Attributes:
        model: The faced model.
        autoencoder: (N, C, H, W) -> (N, C, H, W).
        scales: The criteria to compute, each with the benign scale of its logarithm; None stands
            for the criterion as it is.
    """

    model: nn.Module
    autoencoder: nn.Module
    scales: Mapping[str, RobustScale | None]

    @torch.no_grad()
    def reform(self, x: Tensor) -> Tensor:
        """AE(x), (N, C, H, W) in [0, 1]."""
        return torch.cat([self.autoencoder(lot) for lot in batches(x)])

    def criteria(self, x: Tensor) -> dict[str, Tensor]:
        """The criteria by name, each (N,) float64, at least 0."""
        reformed = self.reform(x)
        away = (x - reformed).double().abs().flatten(1)
        found = {"l1": away.mean(1), "l2": away.square().mean(1)}
        if any(name.startswith("jsd") for name in self.scales):
            at, there = logits(self.model, x), logits(self.model, reformed)
            for name, t in (("jsd10", 10), ("jsd40", 40)):
                found[name] = divergence((at / t).log_softmax(1), (there / t).log_softmax(1))
        return {name: found[name] for name in self.scales}

    def __call__(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) -> scores (N,) float64."""
        found = self.criteria(x)
        scores = [
            value if (scale := self.scales[name]) is None else scale.z(_log(value))
            for name, value in found.items()
        ]
        return torch.stack(scores).amax(0)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """The class that the faced model gives to AE(x), and what that of x loses in confidence."""
        at, there = logits(self.model, x), logits(self.model, self.reform(x))
        return {"reformed": there.argmax(1).double(), "confidence_change": gained(at, there)}


@dataclass(frozen=True)
class ManifoldPenalty:
    """Logarithms of the criteria; of several a smooth maximum, so that all of them pull.

    Attributes:
        autoencoder: The attacker's own.
        scales: The criteria, as of `ManifoldScorer`.
        sharpness: Of the maximum.
    """

    autoencoder: nn.Module
    scales: Mapping[str, RobustScale | None]
    sharpness: float = 4.0

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Values (N, B) of images (N, B, C, H, W)."""
        reformed = self.autoencoder(x.flatten(0, 1)).view_as(x)
        away = (x - reformed).double().abs().flatten(2)
        found = {"l1": away.mean(2), "l2": away.square().mean(2)}
        if any(name.startswith("jsd") for name in self.scales):
            at, there = logits(x).double(), logits(reformed).double()
            for name, t in (("jsd10", 10), ("jsd40", 40)):
                found[name] = divergence((at / t).log_softmax(-1), (there / t).log_softmax(-1))
        values = [
            _log(found[name]) if scale is None else scale.z(_log(found[name]))
            for name, scale in self.scales.items()
        ]
        together = torch.stack(torch.broadcast_tensors(*values))
        return (self.sharpness * together).logsumexp(0) / self.sharpness
