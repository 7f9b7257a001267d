"""The meaning of a name: brackets, plain functions and classes, entry points of packages."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from evil_twins.bench.commands import app
from evil_twins.bench.components import names, registry
from evil_twins.bench.components.names import split_call
from evil_twins.bench.components.shorthand import adapted
from evil_twins.bench.errors import Fault, UserError
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.suites import doubt, shift, table

VIEW: Any = SimpleNamespace(model=lambda x: x.flatten(1), benign=torch.zeros(3, 1, 2, 2))


@pytest.mark.parametrize(
    ("method", "name", "values"),
    [
        ("curvature", "curvature", {}),
        ("a/b.py:C", "a/b.py:C", {}),
        ("mine.py:C()", "mine.py:C", {}),
        ("mine.py:C(k=5)", "mine.py:C", {"k": 5}),
        ("my-own(k=-1, s='a:b(c)', t=[1, 2.5])", "my-own", {"k": -1, "s": "a:b(c)", "t": [1, 2.5]}),
        ("/a (b)/c(d)/e.py:C(k=None)", "/a (b)/c(d)/e.py:C", {"k": None}),
        ("imc(input={'norm': 'l2'})", "imc", {"input": {"norm": "l2"}}),
        ("/a (b)/c(d)/e.py:C", "/a (b)/c(d)/e.py:C", {}),
    ],
)
def test_brackets_hold_parameters(method: str, name: str, values: dict[str, Any]) -> None:
    assert split_call(method) == (name, values)


@pytest.mark.parametrize("inside", ["5", "k=f(1)", "k=x", "**k", "k=", "k=1, k=2"])
def test_brackets_hold_nothing_else(inside: str) -> None:
    with pytest.raises(UserError, match="cannot read the parameters of") as error:
        split_call(f"mine.py:C({inside})")
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["mine.py:C(", "mine.py:C(k=5", "my-own(s='a'"])
def test_brackets_must_close(text: str) -> None:
    with pytest.raises(UserError, match=r"such as (mine\.py:C|my-own)\(k=5, name='a'\)$"):
        split_call(text)


def bright(model: Any, x: Tensor, weight: float = 1.0) -> Tensor:
    return weight * model(x).mean(1)


class Near:
    def __init__(self, k: int, ends=(0, 1)) -> None:  # type: ignore[no-untyped-def]
        self.k, self.ends = k, ends

    def fit(self, view: Any) -> Any:
        return lambda x: self.k * (x.flatten(1) - view.benign.mean()).abs().sum(1)


class Knowing(Near):
    knowledge = "K0"


def test_a_function_is_a_detector_that_knows_the_faced_model() -> None:
    detector = adapted(bright)(weight=2.0)
    assert (detector.knowledge, detector.preparation) == ("K0", None)
    x = torch.rand(5, 1, 2, 2)
    score = detector.fit(VIEW)(x)
    assert torch.allclose(score.float(), 2 * x.flatten(1).mean(1))
    assert score.dtype == x.dtype
    with pytest.raises(FrozenInstanceError):
        detector.weight = 1.0


def test_a_function_sees_some_images_at_a_time_and_keeps_no_gradients() -> None:
    sizes = []

    def counts(model: Any, x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x.requires_grad_().mean((1, 2, 3))

    x = torch.rand(5, 1, 256, 256)
    score = adapted(counts)().fit(VIEW)(x)
    assert sizes == [2, 2, 1]
    assert not score.requires_grad


def test_a_function_that_gives_no_score_an_image_is_told_so() -> None:
    def mean(model: Any, x: Tensor) -> Tensor:
        return x.mean()

    with pytest.raises(Fault, match="function 'mean' returned a single number for 5"):
        adapted(mean)().fit(VIEW)(torch.rand(5, 1, 2, 2))


def test_a_class_is_a_detector_whose_arguments_are_parameters() -> None:
    cls = adapted(Near)
    detector = cls(k=3)
    assert (detector.k, detector.ends) == (3, (0, 1))
    assert (detector.knowledge, detector.preparation) == ("K1", None)
    assert adapted(Knowing)(k=1).knowledge == "K0"
    x = torch.rand(5, 1, 2, 2)
    assert torch.equal(detector.fit(VIEW)(x), 3 * x.flatten(1).sum(1))
    assert adapted(Near) is cls
    assert (cls.__module__, cls.__qualname__) == (Near.__module__, "Near")


def test_a_dataclass_stays_what_it_is() -> None:
    @dataclass(frozen=True)
    class Data:
        def fit(self, view: Any) -> None: ...

    assert adapted(Data) is Data
    assert adapted(len) is len


WRONG = {
    "k": ("plain.py:Near(k='x')", "k: Input should be a valid integer"),
    "unknown": ("plain.py:Near(k=1, kk=2)", "'kk': did you mean 'k'?"),
    "missing": ("plain.py:Near", "k is missing"),
    "no fit": ("plain.py:Empty", "is not a dataclass and has no `fit`"),
    "one argument": ("plain.py:one", "a function of too few arguments"),
    "no function": ("plain.py:number", "not a dataclass but of type int"),
    "no name": ("plain.py:Nea", "there is no 'Nea' in it"),
    "a module": ("plain:Near", r"or plain\.py:Near in "),
}
SOURCE = """
class Near:
    def __init__(self, k: int): ...
    def fit(self, view): ...
class Empty: ...
def one(x): ...
number = 5
"""


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, name: str) -> None:
    method, said = WRONG[name]
    (tmp_path / "plain.py").write_text(SOURCE)
    column = table("detectors", name="own", method=method).replace(f"'{method}'", f'"{method}"')
    with pytest.raises(UserError, match=said) as error:
        suite.load(suites.write(tmp_path, shift(), column))
    assert len(str(error.value).splitlines()) <= 3


def test_a_parameter_stands_in_one_place(tmp_path: Path) -> None:
    column = table("detectors", name="own", method=f"{suites.PLUGINS}:Doubt(scale=2.0)", scale=1.0)
    with pytest.raises(UserError, match="has scale in its `method` and as a key"):
        suite.load(suites.write(tmp_path, shift(), column))


def test_brackets_in_a_suite_are_keys_of_it(tmp_path: Path) -> None:
    rows = table("attacks", name="many", method="pgd(kappa=[0.75, 0.9], input={'eps': 0.1})")
    rows = rows.replace("'pgd(", '"pgd(').replace("})'", '})"')
    loaded = suite.load(suites.write(tmp_path, rows, doubt(), doubt("two", scale=2.0)))
    assert [(row.method, row.kappa, row.phi) for row in loaded.rows] == [
        ("pgd", 0.75, 1.0),
        ("pgd", 0.9, 1.0),
    ]
    same = table("detectors", name="two", method=f"{suites.PLUGINS}:Doubt(scale=2.0)")
    again = suite.load(suites.write(tmp_path, rows, doubt(), same))
    assert again.columns == loaded.columns


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    points = [
        EntryPoint("far-away", "tests.bench.plugins:Doubt", "evil_twins.detectors"),
        EntryPoint("curvature", "no.where:Curvature", "evil_twins.detectors"),
        EntryPoint("broken", "no.where:Attack", "evil_twins.attacks"),
    ]
    monkeypatch.setattr(
        names, "entry_points", lambda group: [point for point in points if point.group == group]
    )
    names.registry.cache_clear()
    yield
    names.registry.cache_clear()


@pytest.mark.usefixtures("installed")
def test_what_packages_offer_is_listed_and_known_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "tests.bench.plugins:Doubt" in shown
    assert "evil_twins.detectors.curvature:Curvature" in shown
    assert "no.where:Curvature" not in shown
    assert "no.where:Attack: cannot load the attack 'broken': ModuleNotFoundError" in " ".join(
        shown.split()
    )
    column = table("detectors", name="mine", method="far-away(scale=3.0)")
    loaded = suite.load(suites.write(tmp_path, shift(), column))
    assert loaded.columns[0].detector.place == "tests.bench.plugins:Doubt"
    assert loaded.columns[0].detector.build().scale == 3.0


@pytest.mark.usefixtures("installed")
def test_a_package_that_does_not_load_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot load the attack 'broken'"):
        registry.find("attack", "broken", tmp_path)
