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
    confidence_change,
    logits,
)

CRITERIA = ("l1", "l2", "jsd10", "jsd40")


@dataclass(frozen=True)
class AutoEncoder:
    """Train a small convolutional auto-encoder to remove Gaussian noise from benign images.

    It has 3 by 3 convolutions and a sigmoid at the end. If both sides are even, the encoder takes
    averages of 2 by 2 pixels and the decoder repeats them. Adam minimises the squared error, with
    new noise at every step. The cost does not grow with the data: steps are counted, not epochs.

    Attributes:
        width: Channels of the hidden layers.
        bottleneck: Channels of the code.
        noise: Standard deviation, in pixels of [0, 1].
        steps: Number of minibatches.
        batch: Images of a minibatch.
        lr: Highest learning rate of Adam, under a one-cycle schedule.
    """

    width: int = 16
    bottleneck: int = 3
    noise: float = 0.1
    steps: int = 1000
    batch: int = 64
    lr: float = 1e-2

    def __call__(self, benign: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Return the weights after training on benign images (M, C, H, W) in [0, 1].

        The same seed on one thread of one machine gives the same bits. The global generators keep
        their state.
        """
        device = generator.device
        seed = int(torch.randint(2**62, (1,), generator=generator, device=device))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = self.network(benign).to(benign)
        optimizer = torch.optim.Adam(net.parameters(), self.lr)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=self.steps)
        with torch.enable_grad():
            for _ in range(self.steps):
                size = (min(self.batch, len(benign)),)
                index = torch.randint(len(benign), size, generator=generator, device=device)
                x = benign[index.to(benign.device)]
                draws = torch.randn(x.shape, generator=generator, device=device, dtype=x.dtype)
                loss = mse_loss(net(x + self.noise * draws.to(x.device)), x)
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
        return {name: value.detach().clone() for name, value in net.state_dict().items()}

    def network(self, like: Tensor) -> nn.Sequential:
        """Return an untrained network for images like (N, C, H, W)."""
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
        """Return the network for images like (N, C, H, W), with the weights of a training.

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
    """Return the Jensen-Shannon divergence, in nats, of distributions (..., K), as logarithms."""
    middle = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=p.dtype))
    summands = p.exp() * (p - middle) + q.exp() * (q - middle)
    return summands.sum(-1).clamp_min(0) / 2


@dataclass(frozen=True)
class Manifold:
    """Score the distance between an input and its image under an auto-encoder of benign data.

    Attributes:
        criterion: "l1" and "l2", the mean of |x - AE(x)| and of its square over an image; "jsd10"
            and "jsd40", the divergence between the softmax outputs of the faced model at x and at
            AE(x), at temperature 10 or 40; "max", the largest of the four, each as a robust
            z-score of its logarithm among benign images. (A maximum of ranks would have an upper
            bound that many benign images share.)
        autoencoder: Training of the auto-encoder.
        benign: Number of images of the clean data for the scales of "max", the first ones; all, if
            there are fewer.
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
        """Return a scorer under the faced model.

        Raises:
            ValueError: The view lacks the weights of this auto-encoder.
        """
        net = self.autoencoder.trained(view.benign, view.prepared)
        if self.criterion != "max":
            return ManifoldScorer(view.model, net, {self.criterion: None})
        unscaled = ManifoldScorer(view.model, net, dict.fromkeys(CRITERIA))
        criteria = unscaled.criteria(view.benign[: self.benign])
        scales = {name: RobustScale.of(_log(value)) for name, value in criteria.items()}
        return ManifoldScorer(view.model, net, dict(scales))

    def penalty(self, view: DefenderView) -> "ManifoldPenalty":
        """Return the same criteria, by the auto-encoder and benign images of the attacker."""
        scorer = self.fit(view)
        return ManifoldPenalty(scorer.autoencoder, scorer.scales)


def _distances(x: Tensor, reformed: Tensor, dim: int) -> dict[str, Tensor]:
    """Return the criteria "l1" and "l2" over the values of an image, which begin at `dim`."""
    distance = (x - reformed).double().abs().flatten(dim)
    return {"l1": distance.mean(dim), "l2": distance.square().mean(dim)}


def _divergences(before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """Return the criteria "jsd10" and "jsd40" of logits (..., K)."""
    return {
        f"jsd{t}": divergence((before / t).log_softmax(-1), (after / t).log_softmax(-1))
        for t in (10, 40)
    }


def _log(value: Tensor) -> Tensor:
    return value.clamp_min(torch.finfo(value.dtype).tiny).log()


@dataclass(frozen=True)
class ManifoldScorer:
    """Score by reconstruction, (N, C, H, W) -> (N, C, H, W), under the faced model.

    `scales` has the criteria to compute, each with the benign scale of its logarithm; None means
    the unscaled criterion.
    """

    model: nn.Module
    autoencoder: nn.Module
    scales: Mapping[str, RobustScale | None]

    @torch.no_grad()
    def reform(self, x: Tensor) -> Tensor:
        """Return AE(x), (N, C, H, W) in [0, 1]."""
        return torch.cat([self.autoencoder(batch) for batch in batches(x)])

    def criteria(self, x: Tensor) -> dict[str, Tensor]:
        """Return the criteria by name, each (N,) float64, at least 0."""
        reformed = self.reform(x)
        criteria = _distances(x, reformed, 1)
        if any(name.startswith("jsd") for name in self.scales):
            criteria |= _divergences(logits(self.model, x), logits(self.model, reformed))
        return {name: criteria[name] for name in self.scales}

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scores (N,) float64 of images (N, C, H, W)."""
        scores = [
            value if (scale := self.scales[name]) is None else scale.z(_log(value))
            for name, value in self.criteria(x).items()
        ]
        return torch.stack(scores).amax(0)

    def details(self, x: Tensor) -> dict[str, Tensor]:
        """Return the class of AE(x), and the change in confidence of the class of x."""
        before, after = logits(self.model, x), logits(self.model, self.reform(x))
        change = confidence_change(before, after)
        return {"reformed": after.argmax(1).double(), "confidence_change": change}


@dataclass(frozen=True)
class ManifoldPenalty:
    """Compute the logarithms of the criteria and their smooth maximum, so that all have a gradient.

    The auto-encoder is that of the attacker; `scales` are as of `ManifoldScorer`.
    """

    autoencoder: nn.Module
    scales: Mapping[str, RobustScale | None]
    sharpness: float = 4.0

    def __call__(self, logits: Logits, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return values (N, B) of images (N, B, C, H, W)."""
        reformed = self.autoencoder(x.flatten(0, 1)).view_as(x)
        criteria = _distances(x, reformed, 2)
        if any(name.startswith("jsd") for name in self.scales):
            criteria |= _divergences(logits(x).double(), logits(reformed).double())
        values = [
            _log(criteria[name]) if scale is None else scale.z(_log(criteria[name]))
            for name, scale in self.scales.items()
        ]
        stacked = torch.stack(torch.broadcast_tensors(*values))
        return (self.sharpness * stacked).logsumexp(0) / self.sharpness
