"""The report of the verdicts in Markdown."""

import hashlib
from collections.abc import Sequence
from math import isnan

from evil_twins.bench.analysis.claims.audit import failures
from evil_twins.bench.analysis.claims.judged import Judged
from evil_twins.bench.analysis.claims.part import Part
from evil_twins.bench.analysis.claims.retraining import largest, words
from evil_twins.bench.analysis.claims.rules import Rules, rules
from evil_twins.bench.analysis.tables import Analysis, text
from evil_twins.bench.analysis.tables.audit import AUDIT

SINGLE_VICTIM = (
    "Version {version} of the rules needs at least {least} victims of a recipe. This is one: the "
    "numbers are those of this model only, with intervals over targets, and every claim is "
    "undecided."
)


def markdown(analysis: Analysis, verdicts: Sequence[Judged], suite: str) -> str:
    """Write the report: the audit, the claims on each population, the statements of the paper."""
    blocks = [f"# The paper's claims on {suite}\n\n", _audit(analysis, verdicts), _reading(rules())]
    for judged in verdicts:
        blocks.append(f"\n## {judged.title}\n\n{_targets(judged)}\n\n")
        if judged.is_single:
            blocks.append(single_victim_words(judged) + "\n\n")
        blocks += [_summary(judged), "\n", _details(judged)]
    blocks.append(words(largest([of for judged in verdicts for of in judged.population.victims])))
    return "".join([*blocks, "\n", _paper(rules())])


def single_victim_words(judged: Judged) -> str:
    """Return the words about a suite of one victim."""
    version = judged.population.rules
    return SINGLE_VICTIM.format(version=version.version, least=version.test.victims)


def _audit(analysis: Analysis, verdicts: Sequence[Judged]) -> str:
    """Write the audit's table, and its consequences for the claims."""
    lines = []
    for judged in verdicts:
        failed, victims = failures(judged.population), judged.population.victims
        passed = sorted({name for of in victims for name in of.audited["attack"]})
        state = f"passed ({', '.join(passed)}); an endpoint that is not named has no rival here"
        if failed:
            state = f"failed for {failed}: claims that divide by an endpoint are undecided"
        elif not passed:
            state = "not done: the suite holds no rival of these endpoints"
        lines.append(f"- {judged.title}: {state}.\n")
    shown = ""
    if AUDIT.markdown and len(analysis.table(AUDIT)):
        shown = AUDIT.markdown(analysis).split("\n", 1)[1].lstrip() + "\n"
    return "## Audit of the endpoints\n\n" + shown + "".join(lines) + "\n"


def _reading(version: Rules) -> str:
    test, primary = version.test, version.primary
    return (
        "## How to read the verdicts\n\n"
        f"Rules of version {version.version}, fixed before any run of it. The unit is the victim. "
        "A statistic is computed within each victim, on the targets that are at κ in every row "
        "that it needs (evasion and rounds on all). Its interval is a t interval over victims. Its "
        "one-sided p-value against the margin is the larger one of a t test and of a test that "
        "flips the signs by victim. A claim of several parts takes the largest, on either side. A "
        "condition must be met for a claim to hold, but does not refute it. Holm over the "
        f"{len(test.family)} claims {test.family[0]} to {test.family[-1]}, those without data "
        f"counted with p = 1. *Holds*: adjusted p < {test.level:g} above the margin; *does not "
        "hold*: the same below it; *undecided* otherwise, with fewer than "
        f"{test.victims} victims, if a victim lacks the statistic, if the audit of an endpoint, "
        "over the targets of all victims, failed at the median or the 90th percentile and the "
        "claim divides by it, and if two readings of the claim differ.\n\n"
        f"The rules judge `{primary.attack}` of `{primary.suite}`, at κ of the paper and at κ "
        "benign; everything else is a replication.\n"
    )


def _targets(judged: Judged) -> str:
    """Write the number of targets, their lists, and the hash of their names."""
    victims = judged.population.victims
    targets = victims[0].targets([row for of in victims for row in of.rows])
    names = sorted(set(targets["target_id"]))
    lists = ", ".join(sorted(set(targets["list"]))) or "none"
    mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    return f"{len(names)} targets of the list: {lists}; hash of their names {mark}."


def _summary(judged: Judged) -> str:
    lines = [
        [
            f"**{verdict.letter}** {judged.claim(verdict)}",
            verdict.words,
            verdict.signs,
            text.p_value(verdict.p_above),
            text.p_value(verdict.p_below),
        ]
        for verdict in judged.verdicts
    ]
    header = ["claim", "verdict", "signs", "p above (Holm)", "p below (Holm)"]
    return text.markdown(header, lines, text_columns=2)


def _details(judged: Judged) -> str:
    header = ["", "statistic", "counts as", "value", "95 %", "margin", "p above", "p below"]
    lines = [
        [
            verdict.letter,
            part.name,
            part.role,
            text.number(part.value),
            interval(part),
            f"{part.margin:g}",
            text.p_value(part.p_above),
            text.p_value(part.p_below),
            " ".join(text.number(value, 2) for value in part.values if len(part.values) > 1),
            str(part.n or ""),
            judged.paper(verdict),
            part.note,
        ]
        for verdict in judged.verdicts
        for part in verdict.parts
    ]
    header += ["each victim", "targets", "paper", "note"]
    return text.markdown(header, lines, text_columns=3)


def interval(part: Part) -> str:
    """Write the interval of a part, or an empty string."""
    return "" if isnan(part.low) else f"{text.number(part.low)} to {text.number(part.high)}"


def _paper(version: Rules) -> str:
    """Write the statistic of each claim, and the statements of the paper."""
    lines = ["## The statistics, and what the paper says\n\n"]
    for letter, rule in version.claims.items():
        lines.append(f"- **{letter}** {rule.statistic}.\n")
        lines += [f"  - {name}: {words}.\n" for name, words in rule.paper.items()]
    return "".join(lines)
