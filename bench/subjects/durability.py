"""The parameters of treatments by a defender who looks for no attack."""

# Without torch: suites read them.

from dataclasses import dataclass
from math import inf

CHANNELS = (1, 3)
"""Numbers of channels of a JPEG."""


@dataclass(frozen=True)
class Treatments:
    """The treatments of a suite that asks how long its attacks last.

    Attributes:
        steps: Steps of honest fine-tuning: SGD of all weights on the defender's clean images.
        lr: Its learning rate; the momentum is 0.9.
        batch: Images in one of its steps.
        pruned: Share of the weights of each layer, the smallest ones, that become 0.
        quality: Quality of the JPEG in which each input arrives.
    """

    steps: int = 100
    lr: float = 0.003
    batch: int = 64
    pruned: float = 0.2
    quality: int = 75

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not 0 < self.lr < inf:
            raise ValueError("fine-tuning needs steps >= 1, batch >= 1 and a finite lr > 0")
        if not 0 < self.pruned < 1:
            raise ValueError(f"pruned is {self.pruned:g}; expected: a share between 0 and 1")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}; expected: 1 to 100")
