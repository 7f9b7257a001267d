"""`evil-twins generality`, and the files that it writes."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis.generality.numbers import TABLES
from evil_twins.bench.commands import app
from tests.bench import elsewhere, strange, synthetic
from tests.bench.runs import mistake

REFERENCE = Path(__file__).parents[3] / "results" / "reference"


def test_stored_suites_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Digits on eight victims against a published network, which lacks a detector of digits."""
    stored = [str(REFERENCE / name) for name in ("quick", "cifar10-resnet20")]
    assert app.main(["generality", *stored, "--results", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "generality"
    assert shown.splitlines()[-1] == str(folder / "generality.md")
    assert "94 [82, 99]" in shown
    assert "At home (quick: digits, resnet-tiny, 8 victims)" in shown
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "generality.md",
        *(f"figures/generality.{form}" for form in ("pdf", "svg", "png", "csv")),
        *(f"tables/{table.name}.csv" for table in TABLES),
    }
    page = (folder / "generality.md").read_text()
    for sentence in shown.splitlines()[-4:-1]:
        assert sentence in page
    rates = pd.read_csv(folder / "tables" / "generality-rates.csv")
    drawn = pd.read_csv(folder / "figures" / "generality.csv")
    assert sorted(drawn["x"]) == sorted(rates["rate"])  # no attack without a threshold
    assert set(drawn["line"]) == {"quick", "cifar10-resnet20"}
    assert "| quick | digits, resnet-tiny, 8 victims | home | " in page
    assert "| away | curvature-adjusted |" in page


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results of two suites with names of a stranger."""
    folder = tmp_path_factory.mktemp("suites")
    name = r"=*[0pt]$\frac{$ [red] <script>|" + strange.CONTROL.replace("\udcff", "")
    for suite in ("home", "away"):
        records = elsewhere.frames(suite, victims=1)
        for part, frame in records.items():
            columns = {"dataset", "victim", "attack", "method", "layers", "detector"} & {*frame}
            texts = {column: name + frame[column].astype(str) for column in columns}
            records[part] = frame.assign(**texts)
        synthetic.write(folder / suite, records)
    return folder


def test_names_of_a_stranger_control_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["generality", "home", "away", "--results", str(folder), "--fpr", "0.1"]
    assert app.main(line) == 0
    streams = capsys.readouterr()
    assert not strange.controls(streams.out + streams.err)
    written = folder / "generality" / "fpr-0.1"
    assert (written / "figures" / "generality.pdf").exists()
    for path in written.rglob("*"):
        if path.suffix in (".csv", ".md", ".svg"):
            assert not strange.controls(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["home"], "home is the only population"),
        (["home", "home"], "one population twice"),
        (["home", "awya"], "did you mean 'away'"),
        (["home", "away", "--kappa", "high"], "κ high is no level"),
        (["home", "away", "--kappa", ".5"], "home has no scored attack at κ .5"),
        ([], "Missing argument"),
    ],
)
def test_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in mistake(capsys, "generality", *arguments, "--results", str(folder))
    assert not (folder / "generality" / "generality.md").exists()
