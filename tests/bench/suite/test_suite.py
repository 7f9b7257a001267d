"""Suites: their rows and columns, and the message of each mistake."""

import re
from math import isnan
from pathlib import Path

import pytest

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import architectures
from evil_twins.bench.suite import suite
from tests.bench import suites
from tests.bench.suites import HEAD, doubt, shift, table

PGD = table("attacks", name="pgd", method="pgd", kappa=[0.75, 0.9]) + 'input = { norm = "l2" }\n'
IMC = (
    table("attacks", method="imc", kappa=[0.75, 0.9], phi=[0.2, 0.5, 0.8])
    + 'input = {}\nmodel = { layers = "head", lr = 0.25 }\n'
)


def _load(folder: Path, *parts: str, head: str = HEAD) -> suite.Suite:
    return suite.load(suites.write(folder, *parts, head=head))


def test_the_names_without_torch_are_those_with_it() -> None:
    assert set(suite.ARCHITECTURES) == set(architectures.ARCHITECTURES)


def test_lists_stand_for_one_row_each(tmp_path: Path) -> None:
    loaded = _load(tmp_path, PGD, IMC, doubt())
    assert [(row.label, row.kappa, row.phi) for row in loaded.rows] == [
        ("pgd", 0.75, 1.0),
        ("pgd", 0.9, 1.0),
        *(("imc", kappa, phi) for kappa in (0.75, 0.9) for phi in (0.2, 0.5, 0.8)),
    ]
    assert all(isnan(row.lam) for row in loaded.rows)
    assert loaded.rows[2].attack.build().model.lr == 0.25


def test_a_row_may_have_fewer_targets(tmp_path: Path) -> None:
    loaded = _load(tmp_path, shift(), shift("few", count=2), doubt())
    assert [row.count for row in loaded.rows] == [4, 2]
    assert "count" not in loaded.rows[1].attack.parameters


def test_a_control_has_the_kappa_of_the_attack_it_copies(tmp_path: Path) -> None:
    noise = table("attacks", method="noise", kappa=0.9) + "input = {}\n"
    loaded = _load(tmp_path, noise, table("attacks", method="untouched"), doubt())
    assert loaded.rows[0].kappa == 0.9
    assert isnan(loaded.rows[1].kappa)
    assert all(isnan(row.phi) for row in loaded.rows)


def test_parameters_are_complete_and_describe_the_component(tmp_path: Path) -> None:
    loaded = _load(tmp_path, shift(amount=0.3), doubt(scale=2.0))
    assert loaded.rows[0].attack.parameters == {
        "amount": 0.3,
        "fault": "",
        "poison": False,
        "seconds": 0.0,
    }
    assert loaded.columns[0].detector.build().scale == 2.0
    assert loaded.columns[0].detector.spec["class"] == "plugins.py:Doubt"


MISTAKES = {
    "no TOML": (["[[["], "not a readable TOML"),
    "unknown key": (["[targets.more]"], "did you mean"),
    "key near": ([], "did you mean 'dataset'"),
    "unknown attack": ([table("attacks", method="pdg")], "did you mean 'pgd'"),
    "unknown detector": ([shift(), table("detectors", method="manifolds")], "'manifold'"),
    "unknown parameter": ([shift(amuont=0.1)], "did you mean 'amount'"),
    "nested parameter": (
        [table("attacks", method="pgd", kappa=0.75) + "input = { nrom = 'l2' }"],
        "did you mean 'norm'",
    ),
    "wrong type": ([shift(amount="much")], "amount: Input should be a valid number"),
    "wrong name of a choice": ([shift(fault="rage")], "'range'"),
    "missing": (
        [table("attacks", method="pgd", kappa=0.75)],
        "add input, a table with some of the keys norm, eps, step",
    ),
    "refused": (
        [table("attacks", method="imc", kappa=0.75) + "input = {}\nmodel = {}"],
        "either phi or lam",
    ),
    "more than all": ([shift(count=5)], "count of attack 'shift' is 5"),
    "no count": ([shift(count="few")], "count of attack 'shift' is 'few'"),
    "neither true nor false": ([shift(scored="no")], "scored of attack 'shift' is 'no'"),
    "nothing to sweep": ([PGD.replace("[0.75, 0.9]", "[]")], "kappa of attack 'pgd' is an empty"),
    "twice": ([shift(), shift(), doubt()], "'shift' is listed twice"),
    "no such file": ([table("attacks", method="nowhere.py:Thing")], "cannot load"),
    "no such module": ([table("attacks", method="no.where:Thing")], "cannot load"),
    "no such class": ([table("attacks", method=f"{suites.PLUGINS}:Thing")], "cannot load"),
    "no dataclass": ([table("attacks", method=f"{suites.PLUGINS}:again")], "is not a dataclass"),
    "not an attack": ([table("attacks", method=f"{suites.PLUGINS}:Doubt")], "lacks kappa"),
    "no method": ([table("attacks", name="x")], "has no `method`"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_in_three_lines(tmp_path: Path, name: str) -> None:
    parts, message = MISTAKES[name]
    head = HEAD.replace("dataset", "datset") if name == "key near" else HEAD
    if name == "unknown key":
        head = HEAD.replace("count", "cuont")
        parts = []
    with pytest.raises(UserError) as error:
        _load(tmp_path, *parts, doubt(), head=head)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"digits"', '"digit"', "did you mean 'digits'"),
        ('"resnet-tiny"', '"resnet-tny"', "did you mean 'resnet-tiny'"),
        ('"small"', '"../small"', "cannot be the name of a folder"),
        ('"small"', '"bell\\u0007"', "cannot be the name of a folder"),
        ("count = 4", "count = 0", "targets.count"),
        ("count = 4", "count = 4\nbenign = 0", "targets.benign"),
        ("count = 4", 'count = 4\ngoals = "third"', "targets.goals"),
        ("count = 4", "count = 4\ndifficulty = { eps = 0.0 }", "targets.difficulty.eps"),
        ("epochs = 2 }", 'epochs = 2 }\nweights = "v.safetensors"', "needs no recipe"),
        ("count = 4", 'count = "4"', "targets.count"),
        ("[targets]", "[splits]\nheldout = 0.3\n[targets]", "splits: the six shares must sum to 1"),
        ("[targets]", "[splits]\nfit = 0.0\n[targets]", "splits: fit is 0"),
        ("[targets]", "[splits]\nR = 0.3\n[targets]", r"key in small.toml \[splits\]"),
    ],
)
def test_a_mistake_at_the_top(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _load(tmp_path, shift(), doubt(), head=HEAD.replace(old, new))


def test_a_suite_needs_detectors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="detectors is missing"):
        _load(tmp_path, shift())


@pytest.mark.parametrize("name", sorted(suite.built_in()))
def test_built_in_suites_are_sound(name: str) -> None:
    loaded = suite.load(name)
    assert loaded.name == name
    assert loaded.description
    # Clean-label poisoning re-trains a whole network for each target; development targets are where
    # settings are chosen. Neither is a headline.
    few = name == "clean-label" or loaded.targets.list == "development"
    assert len(loaded.seeds) * loaded.targets.count >= (10 if few else 40)


ODD = """
from evil_twins.attacks.base import Nature
from dataclasses import dataclass
from typing import ClassVar

@dataclass(frozen=True)
class Odd:
    {field}
    knowledge: ClassVar[object] = {knowledge}
    preparation: ClassVar[object] = {preparation}
    def fit(self, view): ...
    {more}

@dataclass(frozen=True)
class Attack:
    kappa: ClassVar[object] = {kappa}
    nature: ClassVar[object] = {nature}
    def __call__(self, view): ...
"""
SOUND = {
    "field": "k: int = 1",
    "knowledge": "'K0'",
    "preparation": "None",
    "more": "",
    "kappa": "0.5",
    "nature": "Nature('inputs')",
}


@pytest.mark.parametrize(
    ("part", "code", "message"),
    [
        ("field", "k: 'Nowhere' = 1", "cannot be made: NameError"),
        ("more", "def __post_init__(self): raise KeyError('x')", "cannot be made: KeyError"),
        ("knowledge", "5", "knowledge is 5; one of K0, K1, K2, K3 was expected"),
        ("preparation", "'train'", "preparation is 'train'; None or a dataclass was expected"),
        ("preparation", "property(lambda self: 1 / 0)", "cannot be made: ZeroDivisionError"),
        ("kappa", "'high'", "kappa is 'high'; None, \"benign\" or a probability was expected"),
        ("kappa", "1.5", "kappa is 1.5; None, "),
        ("nature", "4", "nature is 4; an evil_twins.attacks.base.Nature was expected"),
    ],
)
def test_a_class_that_is_wrong_about_itself_is_refused(
    tmp_path: Path, part: str, code: str, message: str
) -> None:
    (tmp_path / "odd.py").write_text(ODD.format(**SOUND | {part: code}))
    detector = suites.table("detectors", name="odd", method="odd.py:Odd")
    attack = suites.table("attacks", name="mine", method="odd.py:Attack")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        suite.load(suites.write(tmp_path, attack, detector))
    assert len(str(caught.value).splitlines()) <= 2
    assert "remedy: fix its class" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('dataset = "digits"', 'dataset = "digits"\nsize = 100000000', "size"),
        ('dataset = "digits"', 'dataset = "digits"\nthreads_per_cell = 1_000_000', "threads"),
        ("[targets]", "seed = 99999999999999999999999\n[targets]", "more than 64 bits"),
        ('name = "small"', f'name = "{"s" * 300}"', "name"),
    ],
)
def test_a_number_beyond_all_machines_is_refused(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    head = suites.HEAD.replace(old, new)
    with pytest.raises(UserError, match=key):
        suite.load(suites.write(tmp_path, suites.shift(), suites.doubt(), head=head))


def test_a_file_name_that_no_system_knows_is_refused(tmp_path: Path) -> None:
    detector = suites.table("detectors", name="odd", method="a\\u0000.py:Odd").replace("'", '"')
    with pytest.raises(UserError, match="cannot load the detector"):
        suite.load(suites.write(tmp_path, suites.shift(), detector))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'bogus'", "nature.moves is 'bogus'"),
        ("'inputs', norm='l7'", "nature.norm is 'l7'"),
        ("'model', layers='tail'", "nature.layers is 'tail'"),
        ("'model', serves=0", "nature.serves is 0"),
        ("'inputs', lam=-1", "nature.lam is -1"),
        ("'inputs', phi='x'", "nature.phi is 'x'"),
        ("'inputs', radii='pgd'", "nature.radii is 'pgd'"),
    ],
)
def test_a_nature_that_is_none_is_refused(tmp_path: Path, arguments: str, message: str) -> None:
    nature = f"property(lambda self: Nature({arguments}))"
    (tmp_path / "odd.py").write_text(ODD.format(**SOUND | {"nature": nature}))
    detector = suites.table("detectors", name="odd", method="odd.py:Odd")
    attack = suites.table("attacks", name="odd-attack", method="odd.py:Attack")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        suite.load(suites.write(tmp_path, attack, detector))
    assert len(str(caught.value).splitlines()) <= 3
