"""Tables of verdicts for the terminal, and the claims that hold in general."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from evil_twins.bench import printable
from evil_twins.bench.analysis.claims.judge import Verdict
from evil_twins.bench.analysis.claims.judged import Judged
from evil_twins.bench.analysis.claims.prose import interval, single_victim_words
from evil_twins.bench.analysis.tables import text


def show(verdicts: Sequence[Judged], suite: str) -> Iterator[Table]:
    """Yield a table of each population, for `rich` to print: verdicts, or values of one victim."""
    for judged in verdicts:
        heads = ["", "claim", "verdict"]
        lines = [[v.letter, judged.claim(v), v.words] for v in judged.verdicts]
        caption = f"{suite}: {judged.title}"
        if judged.is_single:
            caption += f"\n{single_victim_words(judged)} Other statistics were not measured."
            heads = ["", "statistic", "value", "95 %", "margin", "note"]
            lines = [line for verdict in judged.verdicts for line in _values(verdict)]
        yield _table(caption, heads, lines)


def _values(verdict: Verdict) -> Iterator[list[str]]:
    for part in verdict.parts:
        if part.sign:
            value = text.number(part.value)
            yield [verdict.letter, part.name, value, interval(part), f"{part.margin:g}", part.note]


def _table(caption: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    titles = [printable.name(line) for line in caption.split("\n")]
    table = Table(title=Text("\n".join(titles)), title_justify="left", box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for line in lines:
        table.add_row(*printable.cells(*line))
    return table


def general(suites: Mapping[str, Sequence[Judged]]) -> Table:
    """Return a table of the claims that hold in general: in every suite that asks them.

    Args:
        suites: The verdicts by suite. Only populations of the attack that the rules judge count.
            A suite asks a claim if a tested part of it was measured.
    """
    places_of: dict[tuple[str, str, str], dict[str, str]] = {}
    for suite, verdicts in suites.items():
        for judged in verdicts:
            if judged.population.is_primary:
                for verdict in judged.verdicts:
                    key = (verdict.letter, judged.efficacy, judged.claim(verdict))
                    places = places_of.setdefault(key, {})
                    if verdict.is_measured:
                        places[f"{suite} ({judged.population.key['victim']})"] = verdict.outcome
    lines = [[*key, _in_general(places)] for key, places in sorted(places_of.items())]
    return _table("Do the claims hold in general?", ["", "efficacy", "claim", "verdict"], lines)


def _in_general(places: Mapping[str, str]) -> str:
    if not places:
        return "not measured in any suite"
    by_outcome: dict[str, list[str]] = {}
    for name, outcome in places.items():
        by_outcome.setdefault(outcome, []).append(name)
    words = [f"{outcome} in {', '.join(names)}" for outcome, names in sorted(by_outcome.items())]
    return f"{'yes' if set(by_outcome) == {'holds'} else 'no'}: {'; '.join(words)}"
