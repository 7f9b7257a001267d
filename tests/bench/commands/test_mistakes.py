"""Mistakes on the command line and in a suite, and their messages."""

from pathlib import Path

import pytest

from evil_twins.bench.commands import app
from tests.bench import suites, synthetic
from tests.bench.runs import mistake
from tests.bench.suites import doubt, shift, table

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["run", "none.toml"], "there is no suite none.toml"),
        (["run", "--jbos", "2"], "No such option"),
        (["run", "--jobs", "many"], "--jobs"),
        (["run", "--device", "tpu"], "'tpu' is not one of"),
        (["rnu"], "No such command"),
        (["table", "quick", "--results", "nowhere"], "no records in nowhere"),
        (["plot", "quick", "--results", "nowhere"], "no records in nowhere"),
        (["report", "quick", "--results", "nowhere"], "no records in nowhere"),
    ],
)
def test_a_mistake_on_the_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in mistake(capsys, *arguments)


MISTAKES = {
    "data set": (('"digits"', '"digit"'), [], "did you mean 'digits'"),
    "architecture": (("resnet-tiny", "resnet-tny"), [], "did you mean 'resnet-tiny'"),
    "key": (("count", "cuont"), [], "did you mean 'count'"),
    "recipe": (("epochs", "epohcs"), [], "did you mean 'epochs'"),
    "type": (("epochs = 2", "epochs = 'two'"), [], "epochs: Input should be a valid integer"),
    "epochs": (("epochs = 2", "epochs = 0"), [], "a recipe needs epochs >= 1"),
    "toml": (("[targets]", "[targets"), [], "not a readable TOML"),
    "attack": (("", ""), [table("attacks", method="pgdd")], "did you mean 'pgd'"),
    "detector": (("", ""), [table("detectors", method="smothing")], "did you mean 'smoothing'"),
    "parameter": (("", ""), [doubt("other", scael=1.0)], "did you mean 'scale'"),
    "kappa": (("", ""), [table("attacks", method="convex-head", kappa=1.5)], "kappa is 1.5"),
    "rounds": (
        ("", ""),
        [table("attacks", method="poisoning", kappa=0.75, rounds=0, model={})],
        "rounds is 0",
    ),
    "count": (("count = 4", "count = 999"), [], "set targets.count to"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_suite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (old, new), parts, said = MISTAKES[name]
    path = suites.write(tmp_path, shift(), doubt(), *parts, head=suites.HEAD.replace(old, new))
    assert said in mistake(capsys, "run", path, "--results", str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


def test_missing_data_are_known_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = suites.HEAD.replace("digits", "folder")
    path = suites.write(tmp_path, shift(), doubt(), head=head)
    mistake(capsys, "run", path, "--data", str(tmp_path / "nowhere"))
    head = suites.HEAD.replace("digits", "cifar10")
    path = suites.write(tmp_path, shift(), doubt(), head=head)
    mistake(capsys, "run", path, "--data", str(tmp_path / "nowhere"))


def test_results_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = suites.write(tmp_path, shift(), doubt())
    (tmp_path / "file").write_text("")
    assert "file" in mistake(capsys, "run", path, "--results", str(tmp_path / "file"))


def test_a_damaged_record_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    synthetic.write(tmp_path / "small", synthetic.frames(n=4))
    (tmp_path / "small" / "scores.parquet").write_bytes(b"PAR1")
    for command in ("table", "plot"):
        said = mistake(capsys, command, "small", "--results", str(tmp_path))
        assert "scores.parquet" in said


def test_a_name_cannot_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["table", "a\x1b[31m", "--results", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "\x1b" not in message
    assert r"\x1b[31m" in message


def test_a_suite_in_a_file_that_has_not_run_is_to_be_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    synthetic.write(tmp_path / "other", synthetic.frames(n=4))
    path = suites.write(tmp_path, shift(), doubt())
    said = mistake(capsys, "table", path, "--results", str(tmp_path))
    assert f"remedy: `evil-twins run {path}` first" in said
