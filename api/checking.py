"""Check a network in memory by the contract of a victim."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evil_twins.bench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from torch import nn


def check(
    model: nn.Module,
    data: tuple[Any, Any] | str | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: Sequence[str] | None = None,
    outputs: Sequence[str] = (),
    size: int | None = None,
    suite: str = "quick",
    device: str = "auto",
) -> pd.DataFrame:
    """Judge a network by every clause of the contract of a victim, as `evil-twins check --model`.

    Args:
        model: A classifier: images (N, C, H, W) in [0, 1] -> logits (N, K). It is copied, not
            changed.
        data: Images and labels (N,) as in `evaluate`, or the name of a data set; or None for
            images of noise, without an accuracy.
        shape: (C, H, W) of the images if there are no data.
        classes: Names of the labels of arrays, or None for their numbers.
        outputs: Names of the outputs of the model in their order, if it has others than the
            classes of the data.
        size: Height and width to which images of a named data set are resized.
        suite: The suite whose attacks and detectors the network may have.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.

    Returns:
        One line a clause: `clause`, `expected`, `outcome` ("passed", "warning", "failed", or "n/a"
        where it does not apply), `fault`, `remedy` and `note`. Clauses that rest on a failed one
        are omitted.

    Raises:
        UserError: It is no network, there are neither data nor a shape, the data cannot be read,
            or there is no such suite.

    Example:
        >>> check(network, (x, y)).query("outcome == 'failed'")[["fault", "remedy"]]
    """
    import pandas as pd

    from evil_twins.bench.contract.victims.run import check_model
    from evil_twins.bench.run.data_of_call import opened
    from evil_twins.bench.run.workspace import resolve_device
    from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork, checked

    name = type(model).__name__
    network = MemoryNetwork(name, outputs=tuple(outputs), module=checked(model, name))
    with tempfile.TemporaryDirectory(prefix="evil-twins-") as folder:
        if data is not None:
            _, dataset = opened(data, None, classes, size, Path(folder))
            results = check_model(network, dataset, suite, resolve_device(device))
        elif shape is not None:
            results = check_model(network, shape, suite, resolve_device(device))
        else:
            raise UserError(
                "the shape of the images is not known",
                "remedy: give data=(x, y), or shape=(channels, height, width)",
            )
    return pd.DataFrame([asdict(result) for result in results])
