"""Readers of data sets: a cell depends on that of its own data set and on no other."""

from importlib import import_module

import pytest

from evil_twins.bench.components.source_code import code_of
from evil_twins.bench.subjects import forms, sets

DIGITS = {"name": "digits", "size": None}
FILES = {"bench/subjects/image_files.py"}
READERS = {
    ("cifar10", None): {"bench/subjects/published.py"},
    ("fashion-mnist", None): {"bench/subjects/published.py"},
    ("gtsrb", None): FILES | {"bench/subjects/published.py"},
    ("isic2018", None): FILES,
    ("folder:signs", None): FILES,
    ("digits", 16): FILES,
}
ARRAYS, CUT = {"bench/subjects/arrays.py"}, {"bench/subjects/cutting.py"}
FORMS: dict[tuple[str, int | None], set[str]] = {
    ("npz:noise", None): ARRAYS,
    ("npz:noise", 16): ARRAYS | FILES,
    ("parquet:signs", None): ARRAYS
    | CUT
    | FILES
    | {f"bench/store/{n}.py" for n in ("pages", "thrift")},
    ("torchvision:SVHN", None): ARRAYS
    | CUT
    | FILES
    | {"bench/subjects/published.py", "bench/subjects/forms/names.py"},
    ("function:mine.load", None): ARRAYS | {"bench/components/plugin.py"},
}
READERS |= FORMS
"""Name and size of a data set -> files on which its cells depend, apart from its reader."""


def test_every_reader_has_its_list() -> None:
    assert {name.split(":")[0] for name, _ in READERS} == {
        *sets.names(),
        *forms.READERS,
    }


@pytest.mark.parametrize(("name", "size"), READERS)
def test_a_cell_depends_on_the_reader_of_its_data_set_only(name: str, size: int | None) -> None:
    code, of_digits = code_of("victim", {"name": name, "size": size}), code_of("victim", DIGITS)
    folder = "forms" if (name, size) in FORMS else "sets"
    reader = f"bench/subjects/{folder}/{name.split(':')[0].replace('-', '_')}.py"
    readers = {file for file in code.files if "/sets/" in file or "/forms/" in file}
    assert readers - READERS[name, size] == {reader, "bench/subjects/sets/__init__.py"}
    assert set(code.files) - set(of_digits.files) - {reader} == READERS[name, size]
    assert set(code.versions) - set(of_digits.versions) <= {"pillow"}
    assert ("pillow" in code.versions) == ("bench/subjects/image_files.py" in code.files)


def test_the_place_of_data_and_the_names_of_data_sets_change_no_digest() -> None:
    files = set(code_of("victim", {"name": "isic2018", "size": None}).files)
    assert "bench/subjects/place.py" not in files
    assert not files & {"bench/suite/suite.py", "bench/subjects/inputs.py"}


def test_every_name_of_a_data_set_has_a_reader() -> None:
    names = {"digits", "fashion-mnist", "cifar10", "gtsrb", "isic2018", "folder"}
    assert set(sets.names()) == names
    assert all(callable(import_module(sets.module(name)).read) for name in names)
