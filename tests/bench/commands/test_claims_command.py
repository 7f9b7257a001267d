"""`evil-twins claims`, and the files that it leaves."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis.claims import report as claims
from evil_twins.bench.analysis.claims.judge import judge
from evil_twins.bench.analysis.claims.judged import Judged
from evil_twins.bench.analysis.claims.report import COLUMNS
from evil_twins.bench.analysis.claims.rules import rules
from evil_twins.bench.analysis.claims.show import general
from evil_twins.bench.commands import app
from tests.bench import claimed, judging, synthetic, truths
from tests.bench.claimed import World

SMALL = World(n=6)
BOTH = replace(SMALL, labels=(("imc-head", "head"), ("imc-all", "all")))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge with fewer bootstrap samples."""
    monkeypatch.setattr(claims, "rules", judging.quick)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Claims of two suites, one of them the primary one, from fewer bootstrap samples."""
    folder = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "rules", judging.quick)
        for name, world in (("gtsrb-small", BOTH), ("other", SMALL)):
            claims.write(synthetic.write(folder / name, claimed.frames(world)), name)
    return folder


def test_every_claim_of_every_sweep_is_in_the_csv(folder: Path) -> None:
    table = pd.read_csv(folder / "gtsrb-small" / "claims.csv")
    assert list(table.columns) == COLUMNS
    assert set(table["rules"]) == {rules().version}
    for _, part in table.groupby("attack"):
        assert list(dict.fromkeys(part["claim"])) == list("abcdefghijk")
    assert (table.groupby(["attack", "claim"])["verdict"].nunique() == 1).all()
    absent = table[table["claim"].eq("j")]
    assert set(absent["verdict"]) == {"undecided"}
    assert set(absent["reason"]) == {
        "not measured: no records of a victim trained anew; no records of a victim trained on"
    }
    said = table[table["claim"].eq("e")]["paper"]
    assert said.str.contains(".899 → .620", regex=False).all()


def test_only_one_sweep_of_one_suite_is_primary(folder: Path) -> None:
    table = pd.read_csv(folder / "gtsrb-small" / "claims.csv")
    roles = table.groupby("attack")["role"].unique().map(list).to_dict()
    assert roles == {"imc-head": ["primary"], "imc-all": ["replication"]}
    assert set(pd.read_csv(folder / "other" / "claims.csv")["role"]) == {"replication"}


def test_the_audit_stands_first_and_the_rules_before_the_verdicts(folder: Path) -> None:
    page = (folder / "gtsrb-small" / "claims.md").read_text()
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    assert heads[0] == "## Audit of the endpoints"
    assert heads[1] == "## How to read the verdicts"
    assert heads[2].endswith("imc-head, head, κ .75 and .9 of the paper (primary)")
    assert "not done: the suite holds no rival" in page
    assert "6 targets of the list: confirmatory" in page
    assert "those without data counted with p = 1" in page


@pytest.mark.usefixtures("quick")
def test_the_same_records_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    records = claimed.frames(SMALL)
    mixed = {name: frame.sample(frac=1, random_state=1) for name, frame in records.items()}
    claims.write(synthetic.write(tmp_path, mixed), "other")
    for name in ("claims.csv", "claims.md"):
        assert (tmp_path / name).read_bytes() == (folder / "other" / name).read_bytes()


@pytest.mark.usefixtures("quick")
def test_records_of_failed_cells_have_claims(tmp_path: Path) -> None:
    records = claimed.frames(replace(SMALL, n=2))
    for lost in (["scores"], ["scores", "flips", "targets"]):
        records |= {name: records[name][:0] for name in lost}
        claims.write(synthetic.write(tmp_path, records), "other")
        assert "## Audit" in (tmp_path / "claims.md").read_text()
    assert pd.read_csv(tmp_path / "claims.csv").empty


@pytest.mark.usefixtures("quick")
def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = (folder / "other" / "claims.md").read_bytes()
    (folder / "other" / "claims.md").unlink()
    assert app.main(["claims", "gtsrb-small", "other", "--results", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert str(folder / "gtsrb-small" / "claims.md") in shown.replace("\n", "")
    assert "needs at least 5 victims" in " ".join(shown.split())
    assert "A of the disagreement" in shown
    assert "Do the claims hold in general?" in shown
    assert (folder / "other" / "claims.md").read_bytes() == stored


@pytest.mark.usefixtures("quick")
def test_several_victims_have_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steep = World(n=6, rho=lambda kappa, phi: (1 - phi) ** (8 if kappa > 0.8 else 3))
    synthetic.write(tmp_path / "many", truths.population(truths.victims(steep)))
    assert app.main(["claims", "many", "--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "holds" in shown
    assert "Do the claims hold in general?" not in shown
    table = pd.read_csv(tmp_path / "many" / "claims.csv").set_index("claim")
    assert set(table.loc["a", "verdict"]) == {"holds"}
    assert set(table.loc["a", "victims"]) == {8}
    assert len(table.loc["c", "values"].split()) == 8
    page = (tmp_path / "many" / "claims.md").read_text()
    assert "8 victims: imc-head, head, κ .75 and .9 of the paper (replication)" in page
    assert "| holds | ++ | 0.039 | 1 |" in page


def test_a_claim_holds_in_general_if_it_holds_in_every_suite_that_asks_it() -> None:
    steep = World(n=6, rho=lambda kappa, phi: (1 - phi) ** (8 if kappa > 0.8 else 3))
    steep = replace(steep, detects=False)
    single = replace(steep, kappas=(0.75,))  # asks nothing about a higher κ
    bump = replace(single, rho=lambda kappa, phi: (1 - phi) ** 3 * (1.5 if phi == 0.1 else 1))
    suites = {}
    for name, world in (("one", steep), ("two", single), ("three", bump)):
        of = judging.population(truths.population(truths.victims(world)))
        suites[name] = [Judged(of, False, tuple(judge(of)))]
    letters, *_, answers = (list(column.cells) for column in general(suites).columns)
    answer = {str(letter): str(words) for letter, words in zip(letters, answers, strict=True)}
    at = "{} (resnet18-narrow)".format
    assert answer["b"] == f"no: holds in {at('one')}, {at('two')}; undecided in {at('three')}"
    assert answer["c"] == f"yes: holds in {at('one')}"
    assert answer["k"] == "not measured in any suite"


def test_mistakes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["claims", "gtsrb-smal", "--results", str(folder)]) == 2
    assert "did you mean 'gtsrb-small'" in capsys.readouterr().err
    assert app.main(["claims", "--results", str(tmp_path)]) == 2
    assert "no records in" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "targets.parquet").write_bytes(b"PAR1")
    assert app.main(["claims", "broken", "--results", str(tmp_path)]) == 2
    assert "targets.parquet" in capsys.readouterr().err


def test_an_unknown_suite_is_known_before_another_is_judged(folder: Path, tmp_path: Path) -> None:
    synthetic.write(tmp_path / "other", claimed.frames(SMALL))
    assert app.main(["claims", "other", "nowhere", "--results", str(tmp_path)]) == 2
    assert not (tmp_path / "other" / "claims.md").exists()


REFERENCE = Path(__file__).parents[3] / "results" / "reference"
JUDGED = sorted(
    {run.parent.name for run in REFERENCE.glob("*/run.json")}
    & {judged.parent.name for judged in REFERENCE.glob("*/claims.csv")}
)
AFTER = ("gtsrb-retrained", "gtsrb-retrained-on")
"""Claim j of gtsrb-small is judged with them, if they are stored."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "gtsrb-small" else pytest.mark.slow)
        for name in JUDGED
    ],
)
def test_committed_verdicts_are_those_that_are_made_today(name: str, tmp_path: Path) -> None:
    for suite in {name, *AFTER} & set(JUDGED):
        ignored = shutil.ignore_patterns("figures")
        shutil.copytree(REFERENCE / suite, tmp_path / suite, ignore=ignored)
    assert app.main(["claims", name, "--results", str(tmp_path)]) == 0
    for file in ("claims.csv", "claims.md"):
        records, committed = (place / name / file for place in (tmp_path, REFERENCE))
        assert records.read_bytes() == committed.read_bytes()
