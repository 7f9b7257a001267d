"""A network of this project as a user's file gives the numbers of the built-in one."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from evil_twins.bench.subjects import weights
from evil_twins.bench.subjects.architectures import Classifier, build, fold
from evil_twins.bench.subjects.data import load
from evil_twins.bench.subjects.victims import Recipe, loss, minibatches, updater
from tests.bench.runs import carry_out
from tests.bench.suites import table

CODE = """
import torch
from torch import nn

from evil_twins.bench.subjects import architectures

def build(classes, shape):
    return architectures.build("resnet-tiny", classes, shape, torch.zeros(1), torch.ones(1))
"""
HEAD = """
name = "small"
dataset = "digits"
[victim]
architecture = "{architecture}"
weights = "{weights}"
[targets]
count = 4
"""
LAST = {"layers": "head"}
PARTS = (
    table("attacks", method="pgd", kappa=0.75, input={}),
    table("attacks", method="poisoning", kappa=0.75, model=LAST),
    table("detectors", method="confidence"),
    table("detectors", method="curvature"),
)
KEYS = ["attack", "detector", "role", "target_id", "image_id"]


def trained() -> Classifier:
    """Train the network of this project for a moment, with its batch-norm."""
    images, recipe = load("digits").train, Recipe(epochs=10)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build("resnet-tiny", 10, (1, 8, 8), torch.tensor([0.3]), torch.tensor([0.4]))
    update = updater(model.train(), recipe, recipe.epochs * recipe.steps(len(images)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(recipe.epochs):
        for x, label in minibatches(images, recipe, generator):
            update(loss(model, x, label, recipe))
    return model.eval()


@pytest.mark.usefixtures("one_thread")
def test_the_same_network_by_either_path_has_the_same_numbers(tmp_path: Path) -> None:
    model = trained()
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    weights.save(fold(model), tmp_path / "ours" / "victim.safetensors")
    (tmp_path / "theirs" / "mine.py").write_text(CODE)
    torch.save(model.state_dict(), tmp_path / "theirs" / "w.pt")
    paths = {"ours": ("resnet-tiny", "victim.safetensors"), "theirs": ("mine.py:build", "w.pt")}
    scores, targets = list[pd.DataFrame](), list[pd.DataFrame]()
    for place, (architecture, file) in paths.items():
        head = HEAD.format(architecture=architecture, weights=file)
        assert not carry_out(tmp_path / place, *PARTS, head=head).state.failed
        records = tmp_path / place / "small"
        scores.append(pd.read_parquet(records / "scores.parquet").sort_values(KEYS))
        targets.append(pd.read_parquet(records / "targets.parquet"))
    columns = ["attack", "target_id", "goal", "at_kappa", "linf", "delta", "kl", "confidence"]
    first, second = (frame[columns].sort_values(columns[:2]) for frame in targets)
    assert first["at_kappa"].all()
    pd.testing.assert_frame_equal(first, second, rtol=1e-4, atol=1e-6)
    first, second = (frame[[*KEYS, "score"]].reset_index(drop=True) for frame in scores)
    assert first["score"].std() > 0
    pd.testing.assert_frame_equal(first, second, rtol=1e-4, atol=1e-6)
