"""Compare the victims of several folders by content: names and seeds are no evidence."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.records import STUDY, Records

Name = tuple[object, ...]
"""Values of STUDY."""

DIGITS = 8
"""Number of digits of a hash in a name."""


def contents(records: Records) -> dict[Name, str]:
    """Return the content hash of the victim of each study.

    It is "" where the records do not hold it, or hold several.
    """
    stored = defaultdict[Name, set[str]](set)
    for line in lines(records.victims):
        stored[_name(line)].add(str(line["content"]))
    studies = [_name(line) for line in lines(records.rows[STUDY].drop_duplicates())]
    return {name: stored[name].pop() if len(stored[name]) == 1 else "" for name in studies}


def titles(suites: Sequence[Mapping[Name, str]]) -> list[dict[str, str]]:
    """Return for each suite the titles of its studies, unlike those of other victims.

    Where victims of one name differ, a title ends in the first digits of the victim's hash.

    Args:
        suites: The `contents` of each suite.

    Returns:
        `text.study` of a study -> its title.
    """
    of_name = defaultdict[Name, set[str]](set)
    for studies in suites:
        for name, content in studies.items():
            of_name[name].add(content)
    return [
        {
            (title := _title(name)): f"{title} ({content[:DIGITS]})"
            if content and len(of_name[name]) > 1
            else title
            for name, content in studies.items()
        }
        for studies in suites
    ]


def _name(line: Mapping[str, object]) -> Name:
    return tuple(line[key] for key in STUDY)


def _title(name: Name) -> str:
    return text.study(dict(zip(STUDY, name, strict=True)))
