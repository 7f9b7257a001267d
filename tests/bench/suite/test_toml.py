"""Any bytes under the name of a suite: a table of bounded depth, or an error of three lines."""

from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evil_twins.bench.commands import app
from evil_twins.bench.components.names import split_call
from evil_twins.bench.errors import UserError
from evil_twins.bench.suite import suite, toml
from tests.bench import suites
from tests.bench.suites import doubt, shift

SOUND = "\n".join([suites.HEAD, shift(), doubt()])

REFUSED = {
    "lists": "a = " + "[" * 3000 + "]" * 3000,
    "open lists": "a = " + "[" * 3000,
    "tables": "a = " + "{a = " * 3000 + "1" + "}" * 3000,
    "dots": "a" + ".a" * 3000 + " = 1",
    "quoted dots": "a" + '. "\\"" ' * 3000 + " = 1",
    "headers": "\n".join("[" + ".".join("a" * (i + 1)) + "]" for i in range(300)),
    "little by little": "a = [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]",
    "decimal": "count = " + "9" * 5000,
    "hexadecimal": "count = 0x" + "f" * 100,
    "large": "# " + "a" * toml.LARGEST,
}


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "small.toml"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_deep_or_too_large_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    path = _write(tmp_path, f"{SOUND}\n[victim.recipe.inner]\n{REFUSED[name]}".encode())
    assert app.main(["plan", str(path), "--results", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert 2 <= len(said) <= 3
    assert said[-1].startswith(("remedy", "expected"))


def test_a_mark_of_the_byte_order_is_accepted(tmp_path: Path) -> None:
    path = _write(tmp_path, SOUND.encode("utf-8-sig"))
    assert suite.load(str(path)) == suite.load(str(_write(tmp_path, SOUND.encode())))


def test_a_plug_in_of_a_suite_runs_when_the_suite_is_planned(tmp_path: Path) -> None:
    code = f"from pathlib import Path\nPath({str(tmp_path / 'mark')!r}).touch()\n"
    (tmp_path / "mine.py").write_text(f"{code}def score(model, x):\n    return x.sum((1, 2, 3))\n")
    parts = shift(), suites.table("detectors", method="mine.py:score")
    path = suites.write(tmp_path, *parts)
    assert app.main(["plan", path, "--results", str(tmp_path)]) == 0
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_is_refused_with_the_remedy(tmp_path: Path, encoding: str) -> None:
    path = _write(tmp_path, f"# é\n{SOUND}".encode(encoding))
    with pytest.raises(UserError, match=r"remedy: (save it as text in UTF-8|fix it)"):
        toml.read(path)


def test_a_long_chain_of_suites_is_refused(tmp_path: Path) -> None:
    for i in range(1000):
        (tmp_path / f"{i}.toml").write_text(f'name = "a"\nextends = "{i + 1}.toml"')
    with pytest.raises(UserError, match="more than 8 suites extend each other"):
        suite.load(str(tmp_path / "0.toml"))


@pytest.mark.parametrize(
    "brackets", ["k=" + "[" * 5000, "k=" + "(" * 200 + ")" * 200, "k=" + "-" * 10**5 + "1"]
)
def test_deep_parameters_of_a_name_are_refused(brackets: str) -> None:
    with pytest.raises(UserError, match="cannot read the parameters"):
        split_call(f"knn({brackets})")


TABLES = st.recursive(
    st.one_of(
        *(st.booleans(), st.integers(), st.floats(), st.dates(), st.times()),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner)
    ),
    max_leaves=20,
)
FILES = st.one_of(
    st.binary(max_size=60),
    st.text(st.sampled_from("a.=[]{}\"'\n\\,1 -#_:TZ"), max_size=60).map(str.encode),
    TABLES.map(lambda table: tomli_w.dumps({"a": table}).encode()),
)


def _depth(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(_depth, inner), default=0) if isinstance(inner, list) else 0


def _judge(folder: Path, content: bytes) -> None:
    try:
        table = toml.read(_write(folder, content))
    except UserError as error:
        text = str(error)
    else:
        assert _depth(table) <= toml.DEPTH
        return
    assert 2 <= len(text.splitlines()) <= 3


@given(FILES)
@example(b"\xef\xbb\xbf")
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_are_a_table_or_refused(tmp_path: Path, content: bytes) -> None:
    _judge(tmp_path, content)


@pytest.mark.slow
@given(FILES)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_ten_thousand_files_are_a_table_or_refused(tmp_path: Path, content: bytes) -> None:
    _judge(tmp_path, content)
