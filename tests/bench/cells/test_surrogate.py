"""The second victim of a transferred attack."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from evil_twins.bench.errors import UserError
from evil_twins.bench.store import records
from tests.bench import suites
from tests.bench.runs import carry_out, planned

pytestmark = pytest.mark.usefixtures("trained")

TRANSFER = (
    suites.table(
        "attacks",
        name="sent",
        method="transferred-pgd",
        kappa=0.75,
        rounds=10,
        input="{ eps = 0.5 }",
    )
    .replace("'{", "{")
    .replace("}'", "}")
)


def test_only_rows_that_ask_for_it_stand_on_a_victim_of_the_next_seed(tmp_path: Path) -> None:
    done = carry_out(tmp_path, TRANSFER, suites.shift(), suites.doubt())
    assert not done.state.failed
    cells = done.plan.cells
    victims = [cell for cell in cells.values() if cell.kind == "victim"]
    assert [cell.spec["seed"] for cell in victims] == [0, 1]
    first, second = victims
    assert {**first.spec, "seed": 1} == second.spec
    assert done.plan.victims[0] == first.key
    sent, shifted = (cells[shard.attack].parents for shard in done.plan.shards)
    assert sent == {"victim": first.key, "surrogate": second.key}
    assert shifted == {"victim": first.key}
    weights = [
        load_file(done.store.path("victim", done.state.identity[cell.key]) / "victim.safetensors")
        for cell in victims
    ]
    assert any((weights[0][name] != weights[1][name]).any() for name in weights[0])
    targets = records.read(tmp_path / "small" / "targets.parquet", records.FILES["targets"])
    rows = targets[targets["attack"].eq("sent")]
    assert (rows["linf"] <= 0.5 + 1e-6).all()
    assert (rows["rounds"].ge(0) == rows["at_kappa"]).all()
    assert len(records.read(tmp_path / "small" / "victims.parquet", records.FILES["victims"])) == 1


def test_a_suite_without_such_a_row_has_one_victim(tmp_path: Path) -> None:
    cells = planned(tmp_path, suites.shift(), suites.doubt()).cells.values()
    assert [cell.kind for cell in cells].count("victim") == 1


def test_of_a_file_of_weights_there_is_no_second_victim(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    done = carry_out(tmp_path, suites.shift(), suites.doubt())
    stored = done.store.path("victim", done.state.identity[done.plan.victims[0]])
    path.write_bytes((stored / "victim.safetensors").read_bytes())
    head = suites.HEAD.replace("recipe = { epochs = 2 }", "weights = 'own.safetensors'")
    with pytest.raises(UserError, match="'sent' needs a second victim"):
        planned(tmp_path, TRANSFER, suites.doubt(), head=head)
