"""The code on which a cell depends: all that counts, and nothing by accident."""

import os
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from evil_twins.attacks import ATTACKS
from evil_twins.bench.components import source_code
from evil_twins.bench.components.adapters import PACKAGES, usable
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.source_code import ROOT, closure, code_of
from evil_twins.detectors import DETECTORS

DIGITS = {"name": "digits", "size": None}
DATA = {f"bench/subjects/{n}.py" for n in ("data", "decoding", "parts", "splits", "sets/__init__")}
EVERY = DATA | {
    *("bench/cells/stored.py", "bench/cells/work.py", "bench/subjects/sets/digits.py"),
    *("bench/components/finite.py", "bench/components/precision.py", "bench/store/checksums.py"),
    *(f"bench/subjects/{name}.py" for name in ("adopting", "architectures", "weights")),
}
RECORDS = {"bench/store/records.py"}
COMPONENT = EVERY | {
    *(f"attacks/{name}.py" for name in ("base", "models", "norms", "stacking", "stamps")),
    *("bench/cells/seeds.py", "bench/components/faced.py", "detectors/base.py"),
    *(f"bench/components/{name}.py" for name in ("component", "plugin", "returned", "shorthand")),
}
ATTACK = COMPONENT | {f"bench/cells/{n}.py" for n in ("attack", "benign", "measure", "targets")}
ATTACK |= {f"attacks/{name}.py" for name in ("efficacy", "search", "success")} | RECORDS
FITTED = COMPONENT | {"bench/cells/fitting.py"}
SCORE = FITTED | {f"bench/cells/{name}.py" for name in ("faced", "score")} | RECORDS
OF_MODELS = {f"detectors/{name}.py" for name in ("inspection", "outliers")}
PGD_STEPS = ("input", "lattice", "nature", "pace", "radius", "routes", "serving")
STEPS = {f"attacks/steps/{name}.py" for name in PGD_STEPS}
LIBRARIES = {
    *("numpy", "pandas", "pyarrow", "pydantic", "safetensors"),
    *("scikit-learn", "torch", "torchvision"),
}

CELLS = {
    "victim": (
        ("victim", None),
        EVERY
        | {"bench/cells/victim.py", "bench/store/records.py"}
        | {f"bench/subjects/{name}.py" for name in ("retraining", "victims")},
        LIBRARIES - {"pydantic"},
    ),
    "fit": (
        ("fit", DETECTORS["manifold"]),
        FITTED | {"bench/cells/preparation.py", "detectors/manifold.py"},
        LIBRARIES - {"pandas", "pyarrow"},
    ),
    "attack": (
        ("attack", ATTACKS["pgd"]),
        ATTACK | STEPS | {"attacks/algorithm1.py", "attacks/pgd.py"},
        LIBRARIES,
    ),
    "attack of the toolbox": (
        ("attack", usable("art")["SquareAttack"]),
        ATTACK | {f"bench/components/adapters/{name}.py" for name in ("art", "toolbox")},
        LIBRARIES | {"adversarial-robustness-toolbox"},
    ),
    **{
        kind: ((kind, DETECTORS["confidence"]), SCORE | {"detectors/confidence.py"}, LIBRARIES)
        for kind in ("benign", "score")
    },
    "inspection": (
        ("score", DETECTORS["inspection"]),
        SCORE - {"bench/cells/score.py"} | {"bench/cells/inspection.py"} | OF_MODELS,
        LIBRARIES | {"scipy"},
    ),
    "score of pytorch-ood": (
        ("score", usable("ood")["Entropy"]),
        SCORE | {"bench/components/adapters/ood.py"},
        LIBRARIES | {"pytorch-ood"},
    ),
}
"""Kind and place of a component -> every file and every library that it depends on."""


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_depends_on_this_and_nothing_else(name: str) -> None:
    (kind, place), files, libraries = CELLS[name]
    if "pytorch-ood" in libraries:
        pytest.importorskip("pytorch_ood")
    code = code_of(kind, DIGITS, *([Component(place, {})] if place else []))
    assert set(code.files) == files
    assert set(code.versions) == libraries


def test_the_code_of_a_network_counts_for_the_cells_of_its_victim_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def build(): return None")
    pgd = Component(ATTACKS["pgd"], {})
    with_network = code_of("attack", DIGITS, pgd, network=tmp_path / "mine.py").files
    more = with_network.keys() - code_of("attack", DIGITS, pgd).files.keys()
    assert more >= {"mine.py", "bench/subjects/networks/adoption.py"}


def test_an_attack_depends_on_the_detectors_that_it_evades() -> None:
    pgd, smoothing = (Component(place, {}) for place in (ATTACKS["pgd"], DETECTORS["smoothing"]))
    evading = set(code_of("attack", DIGITS, pgd, smoothing).files) - set(
        code_of("attack", DIGITS, pgd).files
    )
    assert evading >= {"detectors/smoothing.py", "bench/cells/evade.py"}


def test_libraries_are_found_as_a_search_of_all_distributions_finds_them() -> None:
    offers = packages_distributions()
    for module in ("PIL", "art", "sklearn", "torch", "numpy", "pandas", "scipy", "pydantic"):
        assert list(source_code._versions(module)) == offers[module]
    assert not source_code._versions("json")
    assert not source_code._versions("no_such_module")


@pytest.mark.parametrize("kind", ["attack", "detector"])
def test_class_names_in_specs_are_unique(kind: str) -> None:
    places = [*{"attack": ATTACKS, "detector": DETECTORS}[kind].values()]
    places += [place for package in PACKAGES for place in usable(package).values()]
    names = [Component(place, {}).spec["class"] for place in places]
    assert len(set(names)) == len(names)
    assert not any(":" in name or "." in name for name in names)


SOURCE = """
from pathlib import Path
import helper

LIMIT = 3
text = '''one

# two
'''

def score(x):
    if x is None:
        raise ValueError(
            f"x is {x}; "  # not an image
            "expected: an image"
        )
    if x > 9:
        raise Result(x * 1.5)
    if x > 8:
        return UserError("too large", x)
    return x + LIMIT if x else helper.offset
"""

SAME = {
    "comment": SOURCE.replace("LIMIT = 3", "# largest é\nLIMIT = 3  # units"),
    "docstring": SOURCE.replace("score(x):", 'score(x):\n    """Return é.\n\n    More."""'),
    "attribute": SOURCE.replace("LIMIT = 3", 'LIMIT = 3\n"""Largest value."""'),
    "module": '"""A detector."""\n' + SOURCE,
    "message": SOURCE.replace("expected: an image", "expected: images"),
    "returned message": SOURCE.replace("too large", "too small"),
    "blank lines": SOURCE.replace("LIMIT", "\n\nLIMIT", 1),
}
OTHER = {
    "exception": SOURCE.replace("ValueError", "TypeError"),
    "data of an exception": SOURCE.replace("1.5", "2.5"),
    "number": SOURCE.replace("LIMIT = 3", "LIMIT = 4"),
    "blank line of a string": SOURCE.replace("one\n\n", "one\n"),
    "hash in a string": SOURCE.replace("# two", "# three"),
    "string": SOURCE.replace("import helper", "import helper\nword = 'x'  "),
}


def _digest(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(text)
    os.utime(path, ns=(1, len(list(folder.iterdir())) + hash(text) % 10**9))
    return closure(path).digest


@pytest.mark.parametrize("name", SAME)
def test_words_change_no_digest(tmp_path: Path, name: str) -> None:
    assert SAME[name] != SOURCE
    assert _digest(tmp_path, SAME[name]) == _digest(tmp_path, SOURCE)


@pytest.mark.parametrize("name", OTHER)
def test_code_changes_the_digest(tmp_path: Path, name: str) -> None:
    assert OTHER[name] != SOURCE
    assert _digest(tmp_path, OTHER[name]) != _digest(tmp_path, SOURCE)


def test_messages_and_names_are_no_code_of_a_cell() -> None:
    places = [usable("art")["SquareAttack"], DETECTORS["curvature"]]
    files = {f for place in places for f in closure(*Component(place, {}).sources).files}
    words = {"errors.py", "registry.py", "names.py", "unusable.py", "parameters.py", "__init__.py"}
    assert not [file for file in files if Path(file).name in words]


@pytest.mark.parametrize("file", ["helper.py", "helper/__init__.py", "helper/inner.py"])
def test_a_helper_beside_a_file_counts(tmp_path: Path, file: str) -> None:
    inner = file.endswith("inner.py")
    text = "from helper.inner import f" if inner else "import helper"
    (tmp_path / file).parent.mkdir(exist_ok=True)
    before = _digest(tmp_path, text)
    (tmp_path / file).write_text("offset = 1")
    after = _digest(tmp_path, text)
    assert before != after
    assert set(closure(tmp_path / "mine.py").files) == {"mine.py", file}


def test_a_library_counts_by_its_version_and_not_by_its_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import importlib\nlibrary = importlib.import_module('library.part')\n")
    digests = []
    for version in ("1.0", "1.0+cpu", "1.1"):
        monkeypatch.setattr(source_code, "_versions", lambda _, v=version: {"library": v})
        digests.append(closure(path).digest)
    assert closure(path).versions == {"library": "1.1"}
    assert digests[0] == digests[1] != digests[2]


def test_imports_for_the_type_checker_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nfrom evil_twins.attacks import norms\n"
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\n"
    )
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("")
    assert set(closure(path).files) == {"mine.py", "attacks/norms.py", "b.py"}
    assert "attacks/pgd.py" in closure(ROOT / "attacks" / "imc.py").files


def test_a_users_packages_count_with_the_files_that_an_import_runs(tmp_path: Path) -> None:
    (tmp_path / "pk" / "inner").mkdir(parents=True)
    for name, code in {
        "pk/__init__.py": "",
        "pk/inner/__init__.py": "",
        "pk/inner/det.py": "from . import near\nfrom ..far import thing\nimport pk.other, torch",
        "pk/inner/near.py": "",
        "pk/far.py": "",
        "pk/other.py": "",
        "pk/unused.py": "",
        "mine.py": "import near\nimport pk.far\nimport json",
        "near.py": "",
    }.items():
        (tmp_path / name).write_text(code)
    inits = {"pk/__init__.py", "pk/inner/__init__.py"}
    modules = {f"pk/{name}.py" for name in ("inner/det", "inner/near", "far", "other")}
    code = closure(tmp_path / "pk" / "inner" / "det.py")
    assert set(code.files) == inits | modules
    assert set(code.versions) == {"torch"}
    files = {"mine.py", "near.py", "pk/__init__.py", "pk/far.py"}
    assert set(closure(tmp_path / "mine.py").files) == files
