"""Suites that extend others: changes, additions, drops, and the message of each mistake."""

from pathlib import Path

import pytest

from evil_twins.bench.errors import UserError
from evil_twins.bench.suite import suite
from tests.bench.suites import HEAD, doubt, shift, table

PGD = table("attacks", name="b", method="pgd", kappa=0.75) + "input = { eps = 0.5 }"
BASE = (shift("a"), PGD, PGD.replace("0.75", "0.9"), doubt(), doubt("d"))


def _load(folder: Path, *parts: str, top: str = "", base: tuple[str, ...] = BASE) -> suite.Suite:
    """Load a suite that extends one of the parts `base`, in a file in the same folder."""
    (folder / "base.toml").write_text("\n".join([HEAD, *base]))
    lines = ["name = 'more'", "extends = 'base.toml'", top, *parts]
    (folder / "more.toml").write_text("\n".join(lines))
    return suite.load(str(folder / "more.toml"))


def test_tables_merge_key_by_key_and_entries_by_name(tmp_path: Path) -> None:
    tables = "[victim.recipe]\nlr = 0.1\n[targets]\ncount = 3\n"
    first = table("attacks", name="b", rounds=7)
    second = table("attacks", name="b") + "input = { step = 0.1 }"
    more = _load(tmp_path, tables, first, second, shift("c"), doubt(scale=2))
    base = suite.load(str(tmp_path / "base.toml"))
    assert (more.name, more.description, more.dataset) == ("more", "", base.dataset)
    assert more.victim.recipe == {"epochs": 2, "lr": 0.1}
    assert (more.targets.count, more.targets.shard) == (3, base.targets.shard)
    assert [row.label for row in more.rows] == ["a", "b", "b", "c"]
    attacks = [row.attack.build() for row in more.rows[1:3]]
    assert [(a.kappa, a.rounds, a.input.eps, a.input.step) for a in attacks] == [
        (0.75, 7, 0.5, base.rows[1].attack.build().input.step),
        (0.9, base.rows[2].attack.build().rounds, 0.5, 0.1),
    ]
    assert [column.label for column in more.columns] == ["doubt", "d"]
    assert [column.detector.parameters["scale"] for column in more.columns] == [2, 1]


def test_an_entry_with_a_method_replaces_that_of_its_name(tmp_path: Path) -> None:
    base = (shift("a", amount=0.5, count=2), shift("b"), doubt())
    more = _load(tmp_path, shift("a"), base=base)
    assert [(row.label, row.count) for row in more.rows] == [("a", 4), ("b", 4)]
    assert more.rows[0].attack.parameters["amount"] == 0.1


def test_names_and_keys_are_dropped(tmp_path: Path) -> None:
    more = _load(tmp_path, top="drop = ['b', 'd', 'victim.recipe']")
    assert [row.label for row in more.rows] == ["a"]
    assert [column.label for column in more.columns] == ["doubt"]
    assert more.victim.recipe == {}
    assert [row.label for row in _load(tmp_path, shift("z"), top="drop = ['attacks']").rows] == [
        "z"
    ]


def test_a_built_in_suite_can_be_extended(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("name = 'own'\nextends = 'gtsrb-small'\n")
    more, base = suite.load(str(tmp_path / "own.toml")), suite.load("gtsrb-small")
    assert (more.rows, more.columns, more.targets) == (base.rows, base.columns, base.targets)


@pytest.mark.parametrize(
    ("base", "top", "message"),
    [
        ("extends = 'quik'", "", "did you mean 'quick'"),
        ("extends = 'none.toml'", "", "there is no suite"),
        ("extends = '../base.toml'", "", "a TOML file in the same folder"),
        ("extends = 3", "", "extends 3"),
        ("extends = 'more.toml'", "", "more.toml extends itself: more.toml -> more.toml"),
        ("extends = 'base.toml'", "drop = ['bb']", "unknown name in drop of more.toml 'bb'"),
        (
            "extends = 'base.toml'",
            "drop = ['victim.recip']",
            "'victim.recip': did you mean 'victim.recipe'",
        ),
        ("extends = 'base.toml'", "drop = 'b'", "drop is 'b'"),
        ("", "drop = ['b']", "unknown key in more.toml 'drop'"),
    ],
)
def test_a_mistake_is_said_in_three_lines(
    tmp_path: Path, base: str, top: str, message: str
) -> None:
    (tmp_path / "base.toml").write_text("\n".join([HEAD, *BASE]))
    (tmp_path / "more.toml").write_text(f"name = 'more'\n{base}\n{top}\n")
    with pytest.raises(UserError) as error:
        suite.load(str(tmp_path / "more.toml"))
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_a_circle_of_files_is_named(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.toml").write_text(f"name = '{name}'\nextends = '{base}.toml'\n")
    with pytest.raises(UserError, match=r"a\.toml -> b\.toml -> c\.toml -> a\.toml"):
        suite.load(str(tmp_path / "a.toml"))
