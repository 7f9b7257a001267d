"""Evaluate networks in memory, in one call."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evil_twins.bench import printable
from evil_twins.result import Result

if TYPE_CHECKING:
    from torch import nn

ATTACKS = ("pgd", "poisoning", "imc")
DETECTORS = ("confidence", "manifold", "smoothing", "curvature")


def evaluate(
    model: nn.Module | Mapping[str, nn.Module],
    data: tuple[Any, Any] | str,
    attacks: Sequence[Any] = ATTACKS,
    detectors: Sequence[Any] = DETECTORS,
    clean: tuple[Any, Any] | None = None,
    *,
    classes: Sequence[str] | None = None,
    outputs: Sequence[str] = (),
    size: int | None = None,
    targets: int | None = None,
    device: str = "auto",
    threads: int = 1,
    results: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Attack a trained network, run detectors on the attacks, and open the results.

    It is the machinery of a suite: the same splits, targets, thresholds and numbers. The cells run
    in this process, one after the other, so that networks, attacks and detectors need no file.

    Args:
        model: A classifier: images (N, C, H, W) in [0, 1] -> logits (N, K), with its normalisation
            inside, such as `nn.Sequential(Normalize(mean, std), network)`. It is copied, not
            changed. A dictionary of several gives one victim for each name.
        data: Images that the model was not trained on, and their labels (N,) from 0, as arrays or
            tensors. Images are (N, C, H, W), (N, H, W, C) or (N, H, W); uint8, or floating-point
            numbers in [0, 1], which are rounded to 8 bits. Or a data set as a suite names it:
            "digits", a folder, "file.py:load", "file.npz".
        attacks: Each a name, such as "imc(phi=[0.25, 0.5])", a table as in a suite, or a class or
            an instance.
        detectors: The same; a detector may also be a function `score(model, x)`.
        clean: Images and labels for the attacker's reference and for detectors that learn. Without
            it half of the arrays serves for them.
        classes: Names of the labels of arrays, or None for their numbers.
        outputs: Names of the outputs of the model in their order, if it has others than the
            classes of the data; each class must be one of them.
        size: Height and width to which images of a named data set are resized.
        targets: Number of attacked images, or None for 32, or fewer if there are not enough.
        device: "cpu", "cuda", or "auto" for a GPU where there is one.
        threads: Number of threads on which a cell computes, on which sums depend. More help large
            networks and slow down small ones.
        results: Folder in which the results are kept, and from which a later call takes finished
            cells. Without it they are deleted with the `Result`. A call with another network of the
            same name replaces what an earlier `Result` of the folder reads.
        progress: Whether progress is shown on standard error.

    Returns:
        The results. Its rates hold for these models only. A cell that fails stops only those that
        depend on it: a warning names it, and `Result.failures` has them all.

    Raises:
        UserError: A model breaks the contract of a victim, or another argument is wrong. It is
            raised before anything is run.

    Example:
        >>> result = evaluate(network, (x, y), attacks=["pgd", "imc"], detectors=["curvature"])
        >>> result.rates[["attack", "detector", "detected"]]
    """
    from evil_twins.bench.run.evaluation import evaluation, named
    from evil_twins.bench.run.screen import errors
    from evil_twins.bench.suite.objects import check_files, entries

    models = model if isinstance(model, Mapping) else {type(model).__name__: model}
    networks = named(models, outputs)
    matrix = entries("attack", attacks), entries("detector", detectors)
    if results is not None:
        check_files([entry for part in matrix for entry in part])
    home = Path(tempfile.mkdtemp(prefix="evil-twins-") if results is None else results).absolute()
    try:
        question = evaluation(networks, data, clean, classes, size, matrix, targets, threads, home)
        result = Result(question.run(device, errors() if progress else None), question)
    except BaseException as error:
        if results is None:
            shutil.rmtree(home)
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt("no cell is kept; results=FOLDER keeps them") from None
        raise
    _warn(result)
    if results is None:
        weakref.finalize(result, shutil.rmtree, home, ignore_errors=True)
    return result


def _warn(result: Result) -> None:
    """Warn of cells that failed."""
    reasons = [*result.failures["reason"].astype(str)]
    if reasons:
        cause = printable.name(min(reasons, key=lambda reason: reason.startswith("not run: ")))
        warnings.warn(
            f"{len(reasons)} cells failed or wait for one, see Result.failures: {cause}",
            stacklevel=3,
        )
