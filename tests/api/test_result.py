"""Runs and stored results from Python."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import evil_twins as et
from evil_twins.bench.analysis import plots
from tests.api.small_networks import data, trained
from tests.bench import small_run, suites, synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("python")


@pytest.fixture
def result(folder: Path) -> et.Result:
    return et.run(suites.write(folder, *small_run.PARTS), results=folder, jobs=1)


def test_the_package_loads_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, evil_twins as et; et.__version__, et.Result, et.run, et.load; "
        "sys.exit(bool({'torch', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_prints_nothing_and_gives_its_records(
    result: et.Result, capfd: pytest.CaptureFixture[str]
) -> None:
    assert capfd.readouterr() == ("", "")
    assert set(result.targets["attack"]) == {"a", "b", "c"}
    assert set(result.scores["detector"]) == {"doubt", "far"}
    assert result.failures.empty
    for name in ("detection", "attacks"):
        stored = pd.read_csv(result.directory / "tables" / f"{name}.csv")
        assert list(result.tables[name].columns) == list(stored.columns)
        assert len(result.tables[name]) == len(stored)
    assert result.rates is result.tables["detection"]
    assert set(result.tables) >= {path.stem for path in result.directory.glob("tables/*.csv")}


def test_progress_is_shown_if_it_is_asked_for(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = suites.write(folder, *small_run.PARTS, suites.doubt("new", scale=3.0))
    done = et.run(path, results=folder, jobs=1, only=["new"], limit=2, progress=True)
    streams = capfd.readouterr()
    assert streams.out == ""
    assert " score new × a: " in streams.err
    assert set(done.scores.query("detector == 'new'")["attack"]) == {"a"}


def test_stored_results_are_opened_and_drawn(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    opened = et.load(str(tmp_path / "small"))
    assert opened == et.Result(tmp_path / "small")
    assert isinstance(opened.plot(), Figure)
    with pytest.raises(et.UserError, match=r"unknown figure 'rocc': did you mean 'roc'\?"):
        opened.plot("rocc")
    with pytest.raises(et.UserError, match="the suite does not have the data of figure 'price'"):
        opened.plot("price")


def test_an_unknown_table_has_a_hint_and_is_in_no_mapping(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    tables = et.load(tmp_path / "small").tables
    with pytest.raises(et.UserError, match=r"'detections': did you mean 'detection'\?\nknown: att"):
        tables["detections"]
    assert "detections" not in tables
    assert tables.get("detections") is None


@pytest.mark.parametrize("name", ["/proc/none", "zero\0byte", "long" * 100])
def test_a_folder_that_cannot_be_made_is_told(name: str, tmp_path: Path) -> None:
    suite = suites.write(tmp_path, suites.shift(), suites.doubt())
    for results in (name, Path(name)):
        with pytest.raises(et.UserError, match=r"cannot be made: .*\nremedy: name another folder"):
            et.run(suite, results=results)
        with pytest.raises(et.UserError, match=r"cannot be made: .*\nremedy: name another folder"):
            et.evaluate(trained(), data(), ["pgd"], ["confidence"], results=results)


def test_a_folder_that_cannot_be_written_to_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # for the superuser it is never so
    with pytest.raises(et.UserError, match="cannot be written to\nremedy: name another folder"):
        et.evaluate(trained(), data(), ["pgd"], ["confidence"], results=tmp_path)


def test_a_figure_draws_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    others = [kind for kind in plots.FIGURES if kind.name != "roc"]
    refused = [replace(kind, draw=lambda _: pytest.fail("drawn")) for kind in others]
    roc = [kind for kind in plots.FIGURES if kind.name == "roc"]
    monkeypatch.setattr(plots, "FIGURES", (*refused, *roc))
    assert isinstance(et.load(tmp_path / "small").plot("roc"), Figure)


def test_mistakes_are_user_errors(tmp_path: Path) -> None:
    with pytest.raises(et.UserError, match="no records in"):
        et.load(tmp_path)
    with pytest.raises(et.UserError, match="did you mean 'quick'"):
        et.run("quik", results=tmp_path)
    with pytest.raises(et.UserError, match="expected: auto, cpu or cuda"):
        et.run("quick", results=tmp_path, device="tpu")
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    with pytest.raises(et.UserError, match=f"folder of a suite, such as {tmp_path / 'small'}\n"):
        et.load(tmp_path)
    (tmp_path / "file").write_text("")
    for name in ("file", "file/below"):
        with pytest.raises(et.UserError, match="'file' is no folder\nremedy: ") as error:
            et.run("quick", results=tmp_path / name)
        assert len(str(error.value).splitlines()) <= 3
