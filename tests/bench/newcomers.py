"""A small suite and a file of its users' plug-ins."""

from pathlib import Path

import pytest

from evil_twins.bench.analysis import plots
from evil_twins.bench.commands import app
from tests.bench import suites
from tests.bench.suites import doubt, far, table

PGD = table("attacks", method="pgd", kappa=0.75) + "input = {}\n"
HEAD = 'model = { layers = "head" }\n'
ROWS = (
    table("attacks", method="untouched"),
    PGD,
    table("attacks", method="poisoning", kappa=0.75) + HEAD,
    table("attacks", method="imc", kappa=0.75, phi=0.5) + "input = {}\n" + HEAD,
)
PLUGINS = '''
import torch


@torch.no_grad()
def unsure(model, x):
    return 1 - model(x).softmax(1).amax(1)


class Near:
    """Mean distance from the k nearest clean images."""

    def __init__(self, k: int = 3):
        self.k = k

    def fit(self, view):
        clean = view.benign.flatten(1)

        def score(x):
            distance = torch.cdist(x.flatten(1), clean)
            return distance.topk(self.k, largest=False).values.mean(1)

        return score


def shape(model, x):
    return model(x)


def nothing(model, x):
    return x.mean((1, 2, 3)) * torch.nan


def falls(model, x):
    raise ValueError("over")


class Unfitted:
    def fit(self, view):
        self.view = view


class Late:
    """Fails on the targets."""

    def fit(self, view):
        def score(x):
            if len(x) < 100:
                raise ValueError("late")
            return x.mean((1, 2, 3))

        return score


class Benign:
    """Fails under the victim itself."""

    seen = set()

    def fit(self, view):
        key = float(view.model.head.bias.sum() + view.model.head.weight.sum())
        if not self.seen:
            self.seen.add(key)
        if key in self.seen:
            raise ValueError("the victim")
        return lambda x: x.mean((1, 2, 3))
'''


def prepare(folder: Path) -> str:
    """Write both into a folder; return the path of the suite."""
    (folder / "mine.py").write_text(PLUGINS)
    return suites.write(folder, *ROWS, doubt(), far())


def run(folder: Path, path: str) -> None:
    """Run a suite into its folder, with a single kind of figure: figures take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "FIGURES", [kind for kind in plots.FIGURES if kind.name == "roc"])
        assert app.main(["run", path, "--results", str(folder), "--jobs", "1"]) == 0
