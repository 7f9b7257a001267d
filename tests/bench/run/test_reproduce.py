"""A new victim of a stored suite: its cells, its rates, and the words on them."""

import io
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.leave_one_out import LEAVE_ONE_OUT
from evil_twins.bench.analysis.tables.population import POPULATION
from evil_twins.bench.commands import app
from evil_twins.bench.commands.reproduce import words
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.compare import Question, compare
from evil_twins.bench.run.reproduce import Reproduction, omitted, reproduce
from evil_twins.bench.run.session import Execution
from evil_twins.bench.run.workspace import Folders
from tests.bench import suites
from tests.bench.populations import frames
from tests.bench.runs import carry_out, inline, mistake
from tests.bench.suites import doubt, far, shift

HEAD = suites.HEAD.replace("recipe =", "count = 2\nrecipe =")
PARTS = (shift("a"), shift("b", poison=True), doubt(), far())


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    assert not carry_out(folder, *PARTS, head=HEAD).state.failed
    return folder


@pytest.fixture(scope="module")
def done(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Reproduction:
    results = tmp_path_factory.mktemp("here")
    execution = Execution(device="cpu", engine=inline())
    return reproduce(str(stored / "small.toml"), stored, Folders(results), execution)


def test_one_more_victim_is_trained_on_its_own_draw(done: Reproduction, stored: Path) -> None:
    assert not done.conclusion.failed
    kinds = [cell.kind for cell in done.conclusion.plan.cells.values()]
    counts = {"victim": 1, "fit": 1, "attack": 2, "benign": 2, "score": 4}
    assert Counter(kinds) == counts
    targets = pd.read_parquet(done.folder / "targets.parquet")
    assert set(targets["seed"]) == {done.seed} == {2}
    before = pd.read_parquet(stored / "small" / "targets.parquet")
    assert set(targets["target_id"]) != set(before.query("seed == 0")["target_id"])


def test_each_rate_has_its_interval(done: Reproduction) -> None:
    rates = done.rates
    assert rates is not None
    assert set(rates["detector"]) == {"doubt", "far"}  # "any" has too few calibration scores
    assert len(rates) == 2 * 2
    low, high = rates["next_low"], rates["next_high"]
    assert (rates["inside"] == ((low <= rates["rate"]) & (rates["rate"] <= high))).all()
    written = pd.read_csv(done.folder / "reproduction.csv")
    assert list(written.columns) == list(rates.columns)


def test_rates_outside_are_told(done: Reproduction) -> None:
    assert done.rates is not None
    forged = done.rates.assign(inside=[False, *[True] * 3], next_low=0.25, rate=0.0)
    lines = words(Reproduction(done.conclusion, done.folder, 2, forged))
    assert lines[0] == "a: doubt flags 0.00; predicted 0.25 to 1.00"
    assert lines[1].startswith("1 of 4 rates of a new victim (seed 2) lie outside")
    assert "25.0%" in lines[1]
    assert "At most about 0 are expected." in lines[1]  # two victims cannot predict a third
    lines = words(Reproduction(done.conclusion, done.folder, 2, forged, 0, 0.25))
    assert (
        "About 1 are expected: of the stored victims, each predicted from the others, 25.0% lie"
        in lines[1]
    )


def test_what_is_expected_is_what_the_stored_victims_show() -> None:
    analysis = Analysis(tables.number(frames()))
    table = analysis.table(LEAVE_ONE_OUT).query("fpr_nominal == .05")
    assert 0 <= omitted(analysis) == pytest.approx((~table["inside"].astype(bool)).mean())


def test_by_command(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["reproduce", str(stored / "small.toml"), "--stored", str(stored)]
    assert app.main([*line, "--results", str(tmp_path), "--jobs", "1"]) == 0
    assert "of 4 rates of a new victim (seed 2)" in " ".join(capsys.readouterr().out.split())


def test_results_of_one_victim_predict_nothing(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carry_out(tmp_path, shift("a"), doubt())
    line = ["reproduce", str(tmp_path / "small.toml"), "--results", str(tmp_path / "here")]
    assert "predict nothing for another" in mistake(capsys, *line, "--stored", str(tmp_path))
    assert "no records in" in mistake(capsys, *line, "--stored", str(tmp_path / "nowhere"))
    head = HEAD.replace("count = 2\nrecipe", "count = 3\nrecipe")
    path = suites.write(tmp_path, *PARTS, head=head)
    with pytest.raises(UserError, match=r"is not of this suite: .* seeds \[0, 1\] with 4 targets"):
        reproduce(path, stored, Folders(tmp_path), Execution(engine=inline()))
    head = HEAD.replace("count = 2\nrecipe = { epochs = 2 }", "weights = 'v.safetensors'")
    path = suites.write(tmp_path, *PARTS, head=head)
    with pytest.raises(UserError, match="no further one can be trained"):
        reproduce(path, stored, Folders(tmp_path), Execution(engine=inline()))


def test_compare_shows_all_victims(stored: Path) -> None:
    execution = Execution(device="cpu", engine=inline())
    name = f"{suites.PLUGINS}:Doubt(scale=2.0)"
    compared = compare(Question([name], str(stored / "small.toml")), Folders(stored), execution)
    assert compared.folder is not None
    kinds = [compared.conclusion.plan.cells[key].kind for key in compared.conclusion.state.ran]
    assert kinds.count("score") == 2 * 2
    scores = pd.read_parquet(compared.folder / "scores.parquet")
    assert set(scores["seed"]) == {0, 1}
    costs = pd.read_parquet(compared.folder / "costs.parquet")
    assert len(costs) == 2 * 2
    population = pd.read_csv(compared.folder / "tables" / "population.csv")
    assert (population["n"] == 2 * 4).all()
    assert set(population["inputs"]) == set(costs.groupby("attack")["inputs"].sum())
    # It is what the suite's detector of another name is, in every number over victims.
    suite_table = Analysis(stored / "small").table(POPULATION)
    both = population.merge(
        suite_table[suite_table["detector"].eq("doubt")],
        on=["attack", "fpr_nominal"],
        suffixes=("", "_doubt"),
    )
    assert len(both) == len(population) == 2 * 2
    for column in ("victims", "detected", "low", "high", "fpr_realised", "auroc", "ks", "success"):
        numbers = both[f"{column}_doubt"].tolist()
        assert both[column].tolist() == pytest.approx(numbers, rel=1e-5), column
    paired = pd.read_csv(compared.folder / "tables" / "paired.csv").set_index("against")
    assert (paired.loc["doubt", "difference"] == 0).all()
    assert (paired["victims"] == 2).all()


def test_compare_takes_the_victims_with_stored_attacks(stored: Path, tmp_path: Path) -> None:
    """No further victim is trained, neither for a detector nor for an attack."""
    path = suites.write(tmp_path, *PARTS, head=HEAD.replace("count = 2", "count = 3", 1))
    results = tmp_path / "results"
    shutil.copytree(stored, results)
    console = Console(file=io.StringIO(), width=200)
    execution = Execution(device="cpu", engine=inline())
    for name in (f"{suites.PLUGINS}:Doubt(scale=3.0)", f"{suites.PLUGINS}:Shift(amount=0.2)"):
        compared = compare(Question([name], path), Folders(results), execution, console)
        assert compared.folder is not None
        assert set(pd.read_parquet(compared.folder / "targets.parquet")["seed"]) == {0, 1}
        ran = {compared.conclusion.plan.cells[key].kind for key in compared.conclusion.state.ran}
        assert "victim" not in ran
    assert isinstance(console.file, io.StringIO)
    assert "not stored, so skipped: a (seeds [2]), b (seeds [2])" in console.file.getvalue()
