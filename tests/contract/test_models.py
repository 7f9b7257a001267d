"""Wrong networks are noticed in the expected clause, and right ones pass all."""

from typing import Any

import pytest
import torch
from torch import nn

from evil_twins.bench.contract.judging import Result, judged
from evil_twins.bench.contract.victims.case import ModelCase
from evil_twins.bench.contract.victims.run import CLAUSES, check_model
from evil_twins.bench.subjects.networks.of_memory import MemoryNetwork
from tests.contract.networks import Linear, Then, case
from tests.contract.right_networks import RIGHT, convolutional
from tests.contract.wrong_networks import WRONG

NAMES = [clause.name for clause in CLAUSES]


def results(judged_case: ModelCase, last: str = "") -> dict[str, Result]:
    """Return the results of the clauses by name, up to the last one."""
    rows = dict[str, Result]()
    for row in judged(CLAUSES, lambda number: CLAUSES[number].judge(judged_case)):
        rows[row.clause] = row
        if row.clause == last:
            break
    return rows


def outcomes(rows: dict[str, Result], outcome: str) -> list[str]:
    return [name for name, row in rows.items() if row.outcome == outcome]


@pytest.mark.parametrize("name", RIGHT)
def test_right_networks_pass(name: str) -> None:
    make, limited = RIGHT[name]
    rows = results(case(make()))
    assert list(rows) == NAMES
    assert outcomes(rows, "failed") == []
    assert set(outcomes(rows, "warning")) >= set(limited)
    allowed = {"last_layer", "attacks", "detectors"}
    assert set(outcomes(rows, "warning")) <= allowed
    assert outcomes(rows, "n/a")[-1] == "enough_images"
    assert rows["accurate"].note.startswith("accuracy 1.000" if name == "linear" else "accuracy ")


@pytest.mark.parametrize("name", WRONG)
def test_wrong_networks_are_noticed(name: str) -> None:
    torch.manual_seed(0)
    make, clause, outcome, fault = WRONG[name]
    rows = results(case(make()), clause)
    assert clause in rows, {n: row.fault for n, row in rows.items() if row.fault}
    assert rows[clause].outcome == outcome
    assert fault in rows[clause].fault
    assert "\n" not in rows[clause].fault + rows[clause].remedy
    earlier = {n: row.fault for n, row in rows.items() if n != clause and row.outcome != "n/a"}
    assert not any(earlier.values()), earlier


def test_remedies_are_of_the_case() -> None:
    assert results(case(Linear(-1, 1)), "pixel_scale")["pixel_scale"].remedy == (
        "nn.Sequential(torchvision.transforms.Normalize([0.5,0.5,0.5], [0.5,0.5,0.5]), network)"
    )
    rows = results(case(Linear(order=(2, 0, 3, 1))), "accurate")
    assert rows["accurate"].remedy.startswith("let a wrapper return z[:, [1, 3, 0, 2]]")
    rows = results(case(Then(lambda z: {"out": z, "aux": z})), "returns_logits")
    assert "with one of 'out', 'aux'" in rows["returns_logits"].remedy


def test_a_network_in_memory_stays_as_it_is() -> None:
    module: Any = convolutional().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    rows = check_model(MemoryNetwork("own", module=module), (3, 8, 8))
    assert [row.clause for row in rows] == NAMES
    assert module.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_few_images_have_no_accuracy() -> None:
    rows = results(case(Linear(), count=20), "accurate")
    assert rows["accurate"].outcome == "n/a"
    assert "20 test images are too few" in rows["accurate"].fault


def test_a_network_without_parameters_has_no_attack_on_its_layers() -> None:
    rows = results(case(nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(4))))
    assert rows["all_layers"].outcome == "warning"
    assert "no parameters that may move" in rows["all_layers"].fault


def test_attention_has_second_derivatives_and_each_layer_a_metric() -> None:
    rows = results(case(RIGHT["transformer"][0]()))
    assert rows["second_derivatives"].outcome == "passed"
    assert "LayerNorm (diagonal metric)" in rows["all_layers"].note
