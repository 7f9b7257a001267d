"""The words of the page with their meanings."""

import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Word(NamedTuple):
    """A word and its meaning, a noun phrase or a formula."""

    title: str
    description: str


@cache
def words() -> dict[str, Word]:
    """Return the words by the names that the templates use."""
    source = (Path(__file__).parent / "glossary.toml").read_text(encoding="utf-8")
    return {name: Word(**entry) for name, entry in tomllib.loads(source).items()}
