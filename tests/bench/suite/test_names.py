"""Names that a suite gives are checked before anything runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables.named import printed
from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.newcomers import with_newcomers
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.names import FOLDER_BYTES, LABEL_LENGTH, check_label, folder_name
from tests.bench import reported, strange, suites, synthetic
from tests.bench.suites import doubt, shift

REFUSED = ("", " a", "a ", "a  b", "a\nb", "a\x1b[31m", "a\0", "\u202ea", "\udcff", "x" * 101)


@pytest.mark.parametrize("kind", ["attack", "detector"])
@pytest.mark.parametrize("label", REFUSED)
def test_a_label_that_cannot_be_shown_is_refused(tmp_path: Path, kind: str, label: str) -> None:
    escaped = "".join(f"\\u{ord(c):04x}" for c in label.replace("\udcff", "\x9b"))
    entry = (shift if kind == "attack" else doubt)("LABEL").replace("'LABEL'", f'"{escaped}"')
    with pytest.raises(UserError, match=f"of a {kind} cannot be shown") as error:
        suite.load(suites.write(tmp_path, entry, doubt("b"), shift("c")))
    assert len(str(error.value).splitlines()) == 2
    assert not strange.controls(str(error.value))


def test_no_detector_has_the_name_of_the_or_of_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has the name of the OR of all"):
        suite.load(suites.write(tmp_path, shift(), doubt("any")))


def test_a_newcomer_is_named_as_a_suite_names_it(tmp_path: Path) -> None:
    small = suite.load(suites.write(tmp_path, shift(), doubt()))
    with pytest.raises(UserError, match="cannot be shown"):
        with_newcomers([f"{suites.PLUGINS}:Doubt(fault='{'x' * 100}')"], small)


def _refusal(check: Callable[[], object]) -> str:
    """Return the message of a refused name, of two printable lines; "" if it is accepted."""
    message = ""
    try:
        check()
    except UserError as error:
        message = str(error)
    assert len(message.splitlines()) in (0, 2)
    assert not strange.controls(message)
    return message


@given(strange.names)
@settings(max_examples=100, deadline=None)
def test_a_label_is_refused_or_as_it_is(label: str) -> None:
    refusal = _refusal(partial(check_label, label, "attack", "a.toml"))
    sound = label.isprintable() and label.split(" ") == label.split()
    assert bool(refusal) != (sound and 0 < len(label) <= LABEL_LENGTH)


@given(st.one_of(strange.names, st.integers(), st.lists(st.text())))
@example("../x")
@example("..")
@example("a\\b")
@example("é" * 101)
@settings(max_examples=100, deadline=None)
def test_the_name_of_a_suite_is_refused_or_that_of_one_folder(name: object) -> None:
    if _refusal(partial(folder_name, name, "a.toml")):
        return
    folder = folder_name(name, "a.toml")
    assert Path("/results", folder).parent == Path("/results")
    assert folder == name
    assert not strange.controls(folder)
    assert len(folder.encode()) <= FOLDER_BYTES


READERS = ("table", "plot", "report", "claims", "generality")
"""Commands that take records by the name of a suite, or by its file."""


def test_these_commands_take_records_by_name() -> None:
    files = (Path(app.__file__).parent).glob("*.py")
    takers = {path.stem for path in files if "records_folder(" in path.read_text()}
    assert takers - {"options"} == set(READERS)


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("name", ["../x", "/tmp", "a/../../x", ".", ""])
def test_no_name_leads_out_of_the_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    results, outside = tmp_path / "results", tmp_path / "x"
    results.mkdir()
    synthetic.write(outside, reported.frames(n=4))
    before = sorted(outside.iterdir())
    (tmp_path / "s.toml").write_text(f'name = "{name}"')
    for suite_name in (str(tmp_path / "s.toml"), name):
        assert app.main([command, suite_name, "--results", str(results)]) == 2
        assert "cannot be the name of a folder" in capsys.readouterr().err
    assert sorted(outside.iterdir()) == before


def test_names_of_records_stay_apart_when_they_are_escaped(tmp_path: Path) -> None:
    frames = reported.frames(n=4)
    frames = {k: frame.replace({"pgd": "a\n", "imc": "a\t"}) for k, frame in frames.items()}
    detection = printed(tables.Analysis(synthetic.write(tmp_path, frames)), "rates", "csv")
    assert r"a\n" in detection
    assert r"a\t" in detection
