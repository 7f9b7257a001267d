"""κ "benign" in a suite: the draw, the cell, the records, and a detector that reads confidence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evil_twins.attacks.efficacy import BENIGN_SLACK
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.cells.benign import FEWEST, drawn_log_odds
from evil_twins.bench.errors import Fault, UserError
from evil_twins.bench.store import records
from evil_twins.bench.store.levels import BENIGN
from evil_twins.bench.suite import suite
from tests.bench import runs, suites

IDS = [f"image {i}" for i in range(40)]

HEAD = """
name = "small"
dataset = "digits"
[victim]
architecture = "resnet-tiny"
recipe = { epochs = 8 }
[targets]
count = 16
"""


def some_logits(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(3)
    return 3 * torch.randn(count, 4, generator=numbers), torch.arange(count) % 4


def test_a_draw_depends_on_the_name_of_its_target_only() -> None:
    facts = some_logits()
    drawn = drawn_log_odds("digits", IDS, *facts)
    assert torch.equal(drawn.flip(0), drawn_log_odds("digits", IDS[::-1], *facts))
    assert torch.equal(drawn[:3], drawn_log_odds("digits", IDS[:3], *facts))
    assert not torch.equal(drawn, drawn_log_odds("faces", IDS, *facts))
    assert len(drawn.unique()) > 5


def test_only_images_with_a_confidence_of_a_half_are_drawn() -> None:
    logits, label = some_logits()
    share = logits.double().softmax(1).gather(1, label.unsqueeze(1)).squeeze(1)
    drawn = drawn_log_odds("digits", [str(i) for i in range(500)], logits, label).sigmoid()
    torch.testing.assert_close(drawn.unique(), share[share >= 0.5].sort().values)


def test_too_few_sure_images_are_a_fault_with_a_remedy() -> None:
    logits, label = torch.zeros(50, 4), torch.arange(50) % 4
    logits[torch.arange(FEWEST - 1), label[: FEWEST - 1]] = 9.0
    with pytest.raises(Fault, match=r"gives 9 of 50 images .* enlarge splits\.fit"):
        drawn_log_odds("digits", IDS, logits, label)


def test_confidence_is_caught_at_its_false_alarm_rate(tmp_path: Path) -> None:
    attacks = [
        suites.table("attacks", method="pgd", kappa=["benign", 0.75], input={}),
        suites.table("attacks", method="imc", kappa="benign", phi=0.5, input={}, model={}),
        suites.table("attacks", method="poisoning", kappa="benign", model={}),
    ]
    column = suites.table("detectors", method="confidence")
    done = runs.carry_out(tmp_path, *attacks, column, head=HEAD)
    assert not done.state.failed
    read = records.read(tmp_path / "small" / "targets.parquet", records.FILES["targets"])
    scores = records.read(tmp_path / "small" / "scores.parquet", records.FILES["scores"])
    assert sorted(read["kappa"].unique()) == [0.75, BENIGN]
    benign = read[read["kappa"].eq(BENIGN)]
    assert benign["at_kappa"].all()
    levels = benign.pivot(index="target_id", columns="attack", values="log_odds")
    assert (levels.max(axis=1) - levels.min(axis=1) <= BENIGN_SLACK).all()
    assert levels["pgd"].std() > 0.5
    clean = np.sort(scores.loc[scores["role"].eq("calibration"), "score"].to_numpy())
    for name, kappa in [("pgd", 1.0), ("imc", 1.0), ("poisoning", 1.0), ("pgd", 0.75)]:
        row = scores["attack"].eq(name) & scores["kappa"].eq(kappa) & scores["role"].eq("attacked")
        ranks = np.searchsorted(clean, scores.loc[row, "score"]) / len(clean)
        if kappa == BENIGN:
            assert 0.25 < ranks.mean() < 0.75
            assert (ranks > 0.95).mean() < 0.3
        else:
            assert ranks.mean() > 0.9


def test_tables_write_the_word() -> None:
    row = {"attack": "pgd", "layers": "none", "kappa": BENIGN, "phi": 1.0, "lam": np.nan}
    study = {"dataset": "digits", "victim": "resnet-tiny", "seed": 0}
    assert text.name(row) == "pgd κ benign φ 1"
    assert text.at_kappa(row | study) == "digits, resnet-tiny, seed 0, κ benign"


def test_a_list_makes_rows_and_another_text_is_refused(tmp_path: Path) -> None:
    attack = suites.table("attacks", method="pgd", kappa=["benign", 0.75], input={})
    rows = suite.load(suites.write(tmp_path, attack, suites.doubt())).rows
    assert [row.title for row in rows] == ["pgd κ=benign φ=1", "pgd κ=0.75 φ=1"]
    wrong = suites.table("attacks", method="pgd", kappa="begnin", input={})
    with pytest.raises(UserError, match="kappa of attack 'pgd' 'begnin': did you mean 'benign'"):
        suite.load(suites.write(tmp_path, wrong, suites.doubt()))
