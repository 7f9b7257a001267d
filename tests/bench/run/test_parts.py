"""Parts of a suite: chosen, planned, run on several machines, merged, and pruned."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.store import records
from evil_twins.bench.store.checksums import checksum, fingerprint
from tests.bench import suites
from tests.bench.runs import mistake
from tests.bench.small_run import CELLS, KINDS, PARTS, line, same
from tests.bench.suites import doubt, shift

pytestmark = pytest.mark.usefixtures("no_tables", "no_workers")


@pytest.fixture
def no_tables(no_figures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the tables at the end of a run, which have other tests."""
    monkeypatch.setattr(
        "evil_twins.bench.run.session.write_tables_and_figures", lambda *_, **__: None
    )
    monkeypatch.setattr("evil_twins.bench.analysis.tables.show", lambda _: "")


def _cells(results: Path) -> set[str]:
    return {path.parent.name for path in results.glob("small/cells/*/*/cell.json")}


def _seal(mark: Path, facts: dict[str, object]) -> None:
    unsealed = {name: value for name, value in facts.items() if name != "seal"}
    mark.write_text(json.dumps(unsealed | {"seal": fingerprint(unsealed)}))


def test_shards_are_the_whole_and_merge_to_the_same_bytes(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, both = (tmp_path / name for name in ("first", "second", "both"))
    for place in (first, second):  # the victim is made once, as between two machines
        shutil.copytree(whole / "small/cells/victim", place / "small/cells/victim")
    assert app.main(line(tmp_path, first, "--shard", "1/2")) == 0
    assert app.main(line(tmp_path, second, "--shard", "2/2")) == 0
    assert _cells(first) | _cells(second) == _cells(whole)
    # The victim and the preparation; the benign scores are of one machine.
    assert len(_cells(first) & _cells(second)) == 2
    merge = ["merge", str(first), str(second)]
    capsys.readouterr()
    for copied in (CELLS, 0):
        assert app.main([*merge, "--results", str(both)]) == 0
        assert f"{copied} cells copied" in capsys.readouterr().out
    assert app.main(line(tmp_path, both)) == 0
    assert f"0 cells run, {CELLS} stored" in capsys.readouterr().err
    assert same(whole, both)


def test_cells_that_contradict_each_other_are_not_merged(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole / "small", other / "small")
    (mark,) = (other / "small/cells/victim").glob("*/cell.json")
    facts = json.loads(mark.read_text())
    (file,) = mark.parent.glob("*.parquet")
    line = pd.DataFrame({"accuracy": [0.5], "images": [1]})
    records.write(line, records.VICTIMS, file)  # another accuracy
    facts["files"][file.name] = (file.stat().st_size, checksum(file, None), file.stat().st_mtime_ns)
    content = {name: digest for name, (_, digest, _) in facts["files"].items()}
    _seal(mark, facts | {"content": fingerprint(content)})
    merge = ["merge", str(whole), str(other), "--results", str(tmp_path / "both")]
    expected = "victim 'resnet-tiny seed 0' is not the same everywhere"
    assert expected in mistake(capsys, *merge)
    assert not _cells(tmp_path / "both")


def test_cells_that_descend_from_another_victim_are_not_merged(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(whole / "small", other / "small")
    shutil.rmtree(other / "small/cells/victim")
    merge = ["merge", str(whole), str(other), "--results", str(tmp_path / "both")]
    assert app.main(merge) == 0
    shutil.rmtree(tmp_path / "both")
    for mark in other.glob("small/cells/attack/*/cell.json"):
        facts = json.loads(mark.read_text())
        facts["parents"]["victim"][2] = "another"
        _seal(mark, facts)
    capsys.readouterr()
    assert "descends from another victim" in mistake(capsys, *merge)
    assert not _cells(tmp_path / "both")


def test_what_no_suite_needs_is_removed_and_nothing_else(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def pruned(*options: str) -> str:
        capsys.readouterr()
        assert app.main(["prune", path, "--results", str(tmp_path), *options]) == 0
        return capsys.readouterr().out.split(",")[0]

    shutil.copytree(whole / "small", tmp_path / "small")
    path = suites.write(tmp_path, *PARTS)
    assert pruned() == "0 cells removed"
    assert app.main(["run", path, "--results", str(tmp_path), "--jobs", "1"]) == 0
    run = line(tmp_path, tmp_path)
    suites.write(tmp_path, *PARTS[:2], doubt(), doubt("bad", fault="raise"))
    assert app.main(run) == 1
    assert app.main([*run, "--only", "doubt"]) == 0
    failures = pd.read_parquet(tmp_path / "small" / "failures.parquet")
    assert set(failures["cell"]) == {"bad", "bad × a", "bad × b"}  # not run now, and not forgotten
    # No more needed: the attack c, the preparation, the four scores with it, and one score of c.
    assert pruned("--dry-run") == "7 cells would be removed"
    assert pruned() == "7 cells removed"
    assert app.main(run) == 1
    assert "3 of 9 cells failed" in capsys.readouterr().err
    suites.write(tmp_path, *PARTS[:2], doubt())
    assert len(list(tmp_path.glob("small/cells/*/*.log"))) == 3
    assert pruned() == "0 cells removed"
    assert not list(tmp_path.glob("small/cells/*/*.log"))
    assert app.main(run) == 0
    assert "0 cells run, 6 stored" in capsys.readouterr().err


def test_a_damaged_or_missing_folder_is_not_merged(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge = ["merge", "--results", str(tmp_path / "both")]
    assert app.main([*merge, str(tmp_path / "nowhere")]) == 2
    assert "no finished cells in" in capsys.readouterr().err
    other = tmp_path / "other"
    shutil.copytree(whole / "small", other / "small")
    next(other.glob("small/cells/score/*/scores.parquet")).write_text("short")
    assert app.main([*merge, str(other)]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_only_limit_and_force(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = line(tmp_path, tmp_path)

    def ran(*options: str) -> str:
        capsys.readouterr()
        assert app.main([*run, *options]) == 0
        return capsys.readouterr().err.splitlines()[-1].split(": ")[0]

    shutil.copytree(whole / "small/cells/victim", tmp_path / "small/cells/victim")
    assert ran("--limit", "0") == f"0 cells run, 1 stored, {CELLS - 1} not run yet"
    assert ran("--only", "a") == "6 cells run, 1 stored, 6 not run yet"
    assert ran("--only", "dou*") == "4 cells run, 7 stored, 2 not run yet"
    assert ran("--limit", "1") == "1 cells run, 11 stored, 1 not run yet"
    assert ran() == f"1 cells run, {CELLS - 1} stored"
    assert same(whole, tmp_path)
    assert ran("--only", "doubt", "--force") == f"4 cells run, {CELLS - 4} stored"
    assert same(whole, tmp_path)
    suites.write(tmp_path, shift("a"), doubt())
    assert ran("--force") == "4 cells run, 0 stored"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--only", "dobut"], "did you mean 'doubt'"),
        (["--only", "a", "--only", "dobut"], "did you mean 'doubt'"),
        (["--shard", "3/2"], "expected: i/n with 1 <= i <= n"),
        (["--shard", "half"], "expected: i/n"),
        (["--limit", "-1"], "--limit"),
        (["--time-limit", "0"], "--time-limit"),
    ],
)
def test_a_mistake_in_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert said in mistake(capsys, *line(tmp_path, tmp_path, *options))
    assert not _cells(tmp_path)


def test_nothing_is_removed_that_a_damaged_victim_hides(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole / "small", tmp_path / "small")
    run = line(tmp_path, tmp_path)
    victim = next(tmp_path.glob("small/cells/victim/*/victim.safetensors"))
    victim.write_bytes(victim.read_bytes()[:100])
    prune = ["prune", run[1], "--results", str(tmp_path)]
    assert app.main(prune) == 0
    assert "0 cells removed" in capsys.readouterr().out
    assert app.main(["verify", *prune[1:]]) == 1  # takes the mark of the damaged one
    capsys.readouterr()
    assert app.main(prune) == 0
    assert "1 cells removed" in capsys.readouterr().out
    assert app.main(run) == 0
    assert f"1 cells run, {CELLS - 1} stored" in capsys.readouterr().err


@pytest.mark.slow
def test_no_cluster_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(line(tmp_path, tmp_path, "--dask", "127.0.0.1:9")) == 2
    assert "no scheduler answers there" in capsys.readouterr().err


def test_a_plan_counts_and_forecasts_and_runs_nothing(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(results: Path, *options: str) -> dict[str, list[str]]:
        capsys.readouterr()
        assert (
            app.main(["plan", suites.write(tmp_path, *PARTS), "--results", str(results), *options])
            == 0
        )
        lines = capsys.readouterr().out.strip().splitlines()
        return {line.split()[0]: line.split()[1:] for line in lines if line.split()}

    assert [shown(whole)[kind][:2] for kind in KINDS] == [["0", str(n)] for n in KINDS.values()]
    new = shown(tmp_path)
    assert [new[kind][:2] for kind in KINDS] == [[str(n), "0"] for n in KINDS.values()]
    assert " ".join(new["never"]) == "measured: run some with --limit"
    assert " ".join(new["2"]).endswith("would mean 7% to 93% (95 %)")
    only = {name: ["--only", name] for name in ("a", "b", "doubt")}
    assert [shown(tmp_path, *only["a"])[kind][0] for kind in KINDS] == ["1", "1", "1", "2", "2"]
    both = shown(tmp_path, *only["a"], *only["b"])
    assert [both[kind][0] for kind in KINDS] == ["1", "1", "2", "2", "4"]
    either = shown(tmp_path, *only["a"], *only["doubt"])
    assert [either[kind][0] for kind in KINDS] == ["1", "1", "3", "2", "4"]
    assert not _cells(tmp_path)
