"""Write the suite of a call of `evaluate`, with the files that it needs."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch

from evil_twins.bench.errors import UserError, reason
from evil_twins.bench.run.data_of_call import ARRAYS
from evil_twins.bench.run.evaluation import WEIGHTS, Evaluation
from evil_twins.bench.store import files
from evil_twins.bench.store.folders import writable_folder
from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork
from evil_twins.bench.suite.objects import check_files

SUITE, PROGRAM = "suite.toml", "victim.pt2"


def write(question: Evaluation, folder: Path, architecture: str | None) -> Path:
    """Write a suite that gives the numbers of an evaluation; see `Result.to_suite`.

    Raises:
        UserError: It was one of several networks, or of something that no file brings back; or the
            folder cannot be made.
    """
    check_files([*question.attacks, *question.detectors])
    if len(question.networks) != 1:
        raise UserError(
            f"the results are those of {len(question.networks)} networks",
            "expected: one, as a suite has one victim",
            "remedy: evaluate each of them in a call of its own",
        )
    (name,) = question.networks
    folder = writable_folder(folder)
    table = {
        "name": name,
        "dataset": _dataset(question, folder),
        "size": question.size,
        "threads_per_cell": question.threads,
        "victim": _victim(question, name, folder, architecture),
        "targets": {"count": question.count},
        "attacks": [_without_none(entry.table) for entry in question.attacks],
        "detectors": [_without_none(entry.table) for entry in question.detectors],
    }
    files.write(folder / SUITE, None, tomli_w.dumps(_without_none(table)).encode())
    return folder / SUITE


def _dataset(question: Evaluation, folder: Path) -> str:
    """Copy the arrays, if the data are arrays; return the data set as the suite names it."""
    if question.dataset != str(question.home / ARRAYS):
        return question.dataset
    files.copy(Path(question.dataset), None, folder / ARRAYS, None)
    return ARRAYS


def _victim(
    question: Evaluation, name: str, folder: Path, architecture: str | None
) -> dict[str, Any]:
    """Write the network or its weights; return the section [victim]."""
    network = question.networks[name]
    names = {"classes": list(network.outputs)} if network.outputs else {}
    if architecture is None:
        _export(network, question.shape, folder)
        return {"architecture": PROGRAM} | names
    files.copy(question.home / name / WEIGHTS, None, folder / WEIGHTS, None)
    return {"architecture": architecture, "weights": WEIGHTS} | names


def _export(network: MemoryNetwork, shape: tuple[int, int, int], folder: Path) -> None:
    """Store a network as a program for any number of images.

    Raises:
        UserError: It cannot be exported.
    """
    module = network.build(0, shape).eval()
    sizes = ({0: torch.export.Dim.DYNAMIC},)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about its own parts
            program = torch.export.export(module, (torch.rand(2, *shape),), dynamic_shapes=sizes)
            content = io.BytesIO()
            torch.export.save(program, content)
    except Exception as error:  # any code of the network may be untraceable
        raise UserError(
            f"network {network.name!r} cannot be exported: {reason(error)}",
            'remedy: to_suite(folder, architecture="file.py:function") with its code',
        ) from error
    files.write(folder / PROGRAM, None, content.getvalue())


def _without_none(table: Any) -> Any:
    """Return a table without the keys of None, which TOML does not have."""
    if isinstance(table, Mapping):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    return [_without_none(value) for value in table] if isinstance(table, list | tuple) else table
