"""The zoo of a small suite, and a copy of it for tests that change it."""

import shutil
from pathlib import Path

import pytest

from evil_twins.bench.commands import app
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, table

HEAD, STEP = {"layers": "head"}, {"batch": 16}
PARTS = (
    table("attacks", name="pgd", method="pgd", kappa=0.75, input={"norm": "linf"}),
    table("attacks", name="poisoning", method="poisoning", kappa="benign", rounds=20, model=HEAD),
    table("attacks", name="honest", method="fine-tuning", layers="all", steps=2),
    table(
        "attacks",
        name="patch",
        method="backdoor",
        serves=2,
        rounds=4,
        trigger={"kind": "patch", "side": 0.25},
        model={"layers": "all", "batch": 16},
    ),
    doubt(),
)


@pytest.fixture(scope="module")
def zoo(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the zoo of a small suite with two victims."""
    head = suites.HEAD.replace("[targets]", "count = 2\n[targets]\nsame_goal = 2")
    assert not carry_out(folder, *PARTS, head=head).state.failed
    place = tmp_path_factory.mktemp("zoo") / "models"
    line = ["zoo", "write", str(folder / "small.toml"), str(place), "--results", str(folder)]
    assert app.main(line) == 0
    return place


@pytest.fixture
def copied(zoo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo, tmp_path / "copied"))
