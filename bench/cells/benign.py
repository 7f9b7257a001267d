"""Draw the confidence of a benign image for each target: its κ where an attack says "benign"."""

from collections.abc import Sequence

import torch
from torch import Tensor

from evil_twins.attacks.efficacy import margin
from evil_twins.bench.cells import seeds
from evil_twins.bench.errors import Fault

FEWEST = 10
"""Images to draw from; of fewer, most targets would share one."""


def drawn_log_odds(dataset: str, ids: Sequence[str], logits: Tensor, label: Tensor) -> Tensor:
    """Draw log-odds of benign images for N targets, each by its name: the same for every attack.

    Args:
        dataset: The name of the data set.
        ids: Names of the targets.
        logits: Logits of the victim for benign images, (M, K).
        label: Their classes (M,).

    Returns:
        Log-odds of the label, at least 0, (N,) float64. A confidence of at least 0.5 makes the
        label the class that the victim gives.

    Raises:
        Fault: Fewer than `FEWEST` of the images have such a confidence.
    """
    log_odds = margin(logits.double(), label)
    kept = log_odds[log_odds >= 0]
    if len(kept) < FEWEST:
        raise Fault(
            f'kappa "benign": the victim gives {len(kept)} of {len(label)} images of the split fit '
            f"their label with a confidence of 0.5 or more; {FEWEST} are needed; "
            "enlarge splits.fit, or set kappa to a number"
        )
    draws = [seeds.generator(dataset, name, "kappa") for name in ids]
    places = [int(torch.randint(len(kept), (1,), generator=draw)) for draw in draws]
    return kept[places]
