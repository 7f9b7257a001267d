"""The command that judges a component by its contract."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evil_twins.attacks import ATTACKS
from evil_twins.bench.commands import app
from evil_twins.bench.contract import run
from evil_twins.bench.run import guard
from evil_twins.detectors import DETECTORS
from tests.bench.runs import mistake

OF_MODELS = {"inspection", "last-layer", "neural-cleanse"}

BRIGHTNESS = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Brightness:
    knowledge = "K0"
    preparation = None

    def fit(self, view):
        return lambda x: {score}
"""


Check = Callable[..., tuple[int, str]]


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Write mine.py and check what it defines; return the status and the output."""
    monkeypatch.chdir(tmp_path)

    def checked(source: str, name: str, *options: str) -> tuple[int, str]:
        Path("mine.py").write_text(source)
        run._case.cache_clear()  # it knows a component by name and parameters
        status = app.main(["check", f"mine.py:{name}", *options])
        return status, capsys.readouterr().out

    return checked


def _here(function: Callable[..., Any], arguments: tuple[Any, ...], limit: float | None) -> Any:
    return function(*arguments)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge in this process, since another one takes seconds to start."""
    monkeypatch.setattr(guard, "isolated", _here)


@pytest.mark.usefixtures("in_this_process")
def test_a_line_for_each_clause_and_what_is_wrong(check: Check) -> None:
    status, good = check(BRIGHTNESS.format(score="x.mean((1, 2, 3))"), "Brightness")
    assert status == 0
    assert [line.split()[0] for line in good.splitlines()[:-1]] == ["passed"] * 11
    assert good.splitlines()[-1] == "detector mine.py:Brightness: 11 passed"
    status, bad = check(BRIGHTNESS.format(score="x.mean((1, 2, 3)) - x.mean()"), "Brightness")
    assert status == 1
    assert "failed   a score depends only on its own image" in bad
    assert "seen: by itself and among 16 images it gave" in bad
    assert "remedy: take means, ranks and scales from view.benign" in bad


@pytest.mark.usefixtures("in_this_process")
def test_clauses_as_json(check: Check) -> None:
    status, text = check(BRIGHTNESS.format(score="x.maen()"), "Brightness", "--format", "json")
    content = json.loads(text)
    assert (status, content["name"], content["skipped"]) == (1, "detector mine.py:Brightness", 8)
    assert [row["outcome"] for row in content["clauses"]] == ["failed", "passed", "passed"]
    assert content["clauses"][0]["fault"].startswith("AttributeError: 'Tensor' object has no")


@pytest.mark.usefixtures("in_this_process")
def test_what_does_not_run_is_judged_as_far_as_it_can_be(check: Check) -> None:
    status, message = check(BRIGHTNESS.format(score="x.maen()"), "Brightness")
    assert status == 1
    assert "seen: AttributeError: 'Tensor' object has no attribute 'maen'" in message
    assert "1 failed, 2 passed, 8 not looked at, as they rest on what failed" in message
    loose = BRIGHTNESS.format(score="x.maen()").replace("(frozen=True)", "")
    status, message = check(loose, "Brightness")
    assert "2 failed, 1 passed, 8 not looked at, as they rest on what failed" in message
    assert "seen: Brightness is no frozen dataclass" in message


NUMBERS = "failed   scores are finite numbers, one an image, in float32 or float64"


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("score", "fault"),
    [
        ("value.half()", "the scores are torch.float16; float32 or float64 was expected"),
        ("value / 0 * 0", "function 'own' returned NaN or infinity for 16 of 16 images"),
        ("value.unsqueeze(1)", "function 'own' returned 16×1 numbers for 16 images"),
        ("value.tolist()", "function 'own' returned list; expected a tensor of real numbers"),
    ],
)
def test_the_clause_on_scores_judges_what_a_function_returns(
    check: Check, score: str, fault: str
) -> None:
    source = "def own(model, x):\n    value = x.mean((1, 2, 3))\n    return "
    status, message = check(source + score, "own")
    assert status == 1
    assert message.startswith("passed   it can be fitted, and scores images")
    assert f"{NUMBERS}, where the images are\n           seen: {fault}\n" in message
    assert message.endswith("4 passed, 1 failed, 6 not looked at, as they rest on what failed\n")


def test_a_clause_rests_on_earlier_clauses_of_its_kind() -> None:
    for clauses in run.CLAUSES.values():
        names = [clause.name for clause in clauses]
        assert len(set(names)) == len(names)
        for place, clause in enumerate(clauses):
            assert set(clause.after) <= set(names[:place])


CAUSES = {
    "drawn": (
        "torch.rand(len(x))",
        "it changed torch's global random numbers",
        "draw from view.generator, which a class with fit(view) is given, and nothing afterwards",
    ),
    "weights": (
        "value * model.head.weight.data.mul_(0.9).sum()",
        "it changed the model's head.weight",
        "work on copies (`.clone()`, copy.deepcopy) and set back what you set; remove your hooks",
    ),
    "counts": (
        "value + next(turn)",
        "in two calls one scorer gave",
        "draw from view.generator, which a class with fit(view) is given, and nothing afterwards: "
        "keep the drawn numbers",
    ),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("cause", CAUSES)
def test_one_cause_is_told_once_with_its_remedy(check: Check, cause: str) -> None:
    score, fault, remedy = CAUSES[cause]
    source = "import itertools\nimport torch\n\nturn = itertools.count()\n\n\n@torch.no_grad()\n"
    source += "def own(model, x):\n    value = model(x).softmax(1).amax(1)\n    return "
    status, message = check(source + score, "own")
    assert status == 1
    assert message.count("failed  ") == message.count("remedy") == 1
    assert f"seen: {fault}" in message
    assert f"remedy: {remedy}\n" in message


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("name", ["victim", "labels"])
def test_a_view_names_what_it_holds(check: Check, name: str) -> None:
    body = f"    def fit(self, view):\n        return view.{name}\n"
    status, message = check(f"class Own:\n{body}", "Own")
    assert status == 1
    assert f"seen: a view has no {name!r}: it holds model, benign, generator, prepared" in message
    assert "remedy: clean images are view.benign, without labels; as K2 or K3" in message


@pytest.mark.usefixtures("in_this_process")
def test_fit_must_return_a_function(check: Check) -> None:
    _, message = check("class Own:\n    def fit(self, view):\n        self.view = 1\n", "Own")
    assert "failed   it can be fitted, and scores images" in message
    assert "fit of the detector returned NoneType; expected a function of images" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (":a", "remedy: a name of `evil-twins list`, module:Name, or file.py:Name"),
        ("smothing", "did you mean 'smoothing'"),
        ("art:SquareAtack", "unknown art: name 'SquareAtack': did you mean 'SquareAttack'?"),
        ("ood:Xyz", "there is no similar name.\nknown: ASH, DICE, "),
        ("nothing.py", "remedy: nothing.py:Name"),
        ("evil_twins.bench.analysis.stats", "remedy: evil_twins.bench.analysis.stats:Name"),
        ("nothing.py:Name", "cannot load the detector 'nothing.py:Name'"),
        ("no.module:Name", "ModuleNotFoundError"),
        (
            "evil_twins.bench.analysis.stats:Nothing",
            "there is no 'Nothing' in it\nremedy: a name of",
        ),
        ("evil_twins.bench.analysis.stats:Threshold", "value is missing"),
    ],
)
def test_a_mistake(name: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in mistake(capsys, "check", name)


@pytest.mark.parametrize("source", ["def own(:\n", "import nowhere\n", "[].own\n", "1 / 0\n"])
def test_a_file_that_does_not_load_is_to_be_mended(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(source)
    message = mistake(capsys, "check", "mine.py:own")
    assert "remedy: fix mine.py, which raises that when it is loaded" in message


@pytest.mark.parametrize("name", [*ATTACKS, *DETECTORS])
def test_every_listed_name_is_found_with_usual_parameters(name: str) -> None:
    kind, component = run.resolve(name)
    sort = "inspector" if name in OF_MODELS else "detector"
    assert kind == ("attack" if name in ATTACKS else sort)
    component.build()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ATTACKS, *DETECTORS])
@pytest.mark.usefixtures("in_this_process")
def test_every_listed_name_passes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["check", name]) == 0
    assert "failed" not in capsys.readouterr().out


@pytest.mark.slow
def test_one_that_never_ends(check: Check) -> None:
    source = "import time\n" + BRIGHTNESS.format(score="time.sleep(600)")
    status, message = check(source, "Brightness", "--time-limit", "5")
    assert status == 1
    remedy = "           remedy: see that it ends, or allow more by --time-limit\n"
    assert f"seen: it took longer than 5 s\n{remedy}" in message
    assert message.count("remedy") == 1
    status, message = check("import os\n" + BRIGHTNESS.format(score="os._exit(7)"), "Brightness")
    assert status == 1
    assert "seen: its process died (exit status 7)" in message
