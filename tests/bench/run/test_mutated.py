"""Thousands of suites with mistakes: each is planned, or refused with a clear message."""

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evil_twins.bench.commands import app

SOUND = """
name = "mutant"
description = "everything that a suite can say"
dataset = "digits"
threads_per_cell = 1

[victim]
architecture = "resnet-tiny"
seed = 0
recipe = { epochs = 2, lr = 0.1, batch = 64, flip = false }

[targets]
list = "confirmatory"
count = 4
goals = "random"
shard = 2

[[attacks]]
method = "untouched"

[[attacks]]
name = "noise"
method = "noise"
kappa = [0.75, 0.9]
input = { norm = "linf" }

[[attacks]]
method = "pgd"
kappa = 0.75
input = { norm = "l2", steps = 20 }

[[attacks]]
name = "imc"
method = "imc"
kappa = [0.75]
phi = [0.25, 0.5]
input = { norm = "linf" }
rounds = 10
model = { layers = "head", batch = 64 }

[[attacks]]
method = "poisoning"
kappa = 0.9
model = { layers = "all" }

[[detectors]]
name = "manifold"
method = "manifold"
criterion = "jsd10"

[[detectors]]
method = "smoothing"
statistic = "gap"
sigma = 0.15

[[detectors]]
method = "curvature"
adjust = true
"""

LINES = SOUND.splitlines()
VALUES = st.one_of(
    st.sampled_from(
        [
            *("0", "-1", "1", "2", "40", "10_000_000_000", "9999999999999999999999", "0.5"),
            *("-0.0", "1e308", "nan", "inf", "-inf", "true", "false", "0x10", "1979-05-27"),
            *("07:32:00", '""', '"a"', '"digits"', '"folder"', '"cifar10"', '"../up"', '"κ"'),
            *('"mine.py:Thing"', '"os:path"', '"json:JSONDecoder"', '"head"', '"linf"'),
            *(r'"\\u0000"', '"""\n\n"""', "'\t'", "[]", "[0.75]", "[[1]]", "['a', 1]"),
            *("{}", "{ a = 1 }", "{ norm = 'l2' }"),
        ]
    ),
    st.integers().map(str),
    st.floats().map(repr),
    st.text(max_size=8).map(lambda text: f"'{text}'"),
)
KEYS = sorted({line.partition(" =")[0] for line in LINES if " = " in line} | {"lam", "evil", "eps"})


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """Draw the sound suite with one to three changes."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, len(lines) - 1))
        change = draw(st.sampled_from(["value", "inner", "key", "drop", "copy", "add", "noise"]))
        key, sign, _ = lines[number].partition(" = ")
        if change == "value" and sign:
            lines[number] = f"{key} = {draw(VALUES)}"
        elif change == "inner" and "{" in lines[number]:
            start, _, rest = lines[number].partition("{")
            lines[number] = (
                start + "{" + re.sub(r"= [^,}]+", lambda _: f"= {draw(VALUES)} ", rest, count=1)
            )
        elif change == "key" and sign:
            lines[number] = lines[number].replace(key, draw(st.sampled_from(KEYS)))
        elif change == "drop":
            del lines[number]
        elif change == "copy":
            lines.insert(draw(st.integers(0, len(lines))), lines[number])
        elif change == "add":
            lines.insert(number, f"{draw(st.sampled_from(KEYS))} = {draw(VALUES)}")
        elif change == "noise":
            place = draw(st.integers(0, len(lines[number])))
            lines[number] = (
                lines[number][:place] + draw(st.text(max_size=3)) + lines[number][place:]
            )
    return "\n".join(lines)


def _plan(text: str) -> tuple[int, str]:
    out, errors = io.StringIO(), io.StringIO()
    with TemporaryDirectory() as folder, redirect_stdout(out), redirect_stderr(errors):
        path = Path(folder) / "mutant.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        status = app.main(["plan", str(path), "--results", folder, "--data", folder])
        return status, errors.getvalue()


def _judge(text: str) -> None:
    status, errors = _plan(text)
    assert status in (0, 2), errors
    if status == 2:
        lines = errors.strip().splitlines()
        assert lines[0].startswith("evil-twins: "), errors
        assert 2 <= len(lines) <= 3, errors
        assert re.match("(remedy|expected|known|or yours|did you mean)", lines[-1]), errors


def test_the_sound_suite_is_planned() -> None:
    assert _plan(SOUND) == (0, "")


@given(mutants())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutants_are_planned_or_refused(text: str) -> None:
    _judge(text)


@pytest.mark.slow
@given(mutants())
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_ten_thousand_mutants_are_planned_or_refused(text: str) -> None:
    _judge(text)
