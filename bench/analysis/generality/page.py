"""The page of a comparison of populations, in Markdown."""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from evil_twins.bench.analysis.generality.differences import DIFFERENCES, MARGIN
from evil_twins.bench.analysis.generality.numbers import Numbers
from evil_twins.bench.analysis.generality.rankings import MEAN, RANKINGS
from evil_twins.bench.analysis.generality.rates import QUANTITIES
from evil_twins.bench.analysis.generality.variance import VARIANCE
from evil_twins.bench.analysis.generality.words import LABELS, points, sentences
from evil_twins.bench.analysis.page.columns import BASELINE
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.compare.groups import FAMILIES
from evil_twins.bench.analysis.tables.frames import lines
from evil_twins.bench.analysis.tables.recipes import MEAN as OF_RECIPE
from evil_twins.bench.analysis.tables.recipes import MODEL


def markdown(numbers: Numbers) -> str:
    """Write the sentences, the populations and every table."""
    level = text.level(numbers.gathered.kappa)
    head = (
        f"# Detectors at home and elsewhere, κ {level}, at a false-positive rate of "
        f"{text.percent(numbers.gathered.fpr)}\n\n"
    )
    parts = [head + " ".join(sentences(numbers)) + "\n", _populations(numbers), _rates(numbers)]
    return "\n".join([*parts, _differences(numbers), _variance(numbers), _rankings(numbers)])


def _populations(numbers: Numbers) -> str:
    detectors = {name for each in numbers.gathered.populations for name in each.detectors}
    body = [
        [
            each.name,
            each.title,
            "away" if place else "home",
            ", ".join(sorted(detectors - each.detectors)) or "none",
        ]
        for place, each in enumerate(numbers.gathered.populations)
    ]
    table = text.markdown(["population", "victims", "role", "lacking detectors"], body, 4)
    attacks = [text.name(line | {"kappa": float("nan")}) for line in lines(numbers.gathered.shared)]
    return (
        f"## Populations\n\n{table}\n"
        f"Attacks, the same in every population: {', '.join(attacks)}. "
        f"{' '.join(numbers.gathered.notes)} "
        "Populations differ in models and targets, so no difference is paired. A detector is "
        f"matched by its label. `{BASELINE}` is skipped, as κ sets what it reads, and so is the OR "
        "of all detectors, as they differ from suite to suite.\n"
    )


def _families(
    table: pd.DataFrame, names: list[str], write: Callable[[dict[str, Any]], str]
) -> Iterator[str]:
    """Yield detectors by populations for each family; a missing line is an empty cell."""
    for moves, words in FAMILIES.items():
        part = table[table["moves"].eq(moves)]
        if part.empty:
            continue
        cells = {(line["detector"], line["population"]): write(line) for line in lines(part)}
        body = [
            [str(detector), *(cells.get((detector, name), "") for name in names)]
            for detector in part["detector"].drop_duplicates()
        ]
        yield f"{words}:\n\n{text.markdown(['detector', *names], body)}"


def _rates(numbers: Numbers) -> str:
    words = (
        "## Rate and AUROC\n\n"
        "Each cell: share of flagged targets with its 95 % interval, then the AUROC. A target "
        "counts with the share of the attacks of the family under which it is flagged, and the "
        f"AUROC is the mean over these attacks. The intervals hold {OF_RECIPE}, those of a "
        f"population of one victim {MODEL}.\n\n"
    )
    return words + "\n".join(_families(numbers.rates, numbers.names, _rated))


def _rated(line: dict[str, Any]) -> str:
    rate = str(line["note"]) or text.bracketed(line["rate"], line["low"], line["high"])
    return f"{rate}; {line['auroc']:.2f}"


def _differences(numbers: Numbers) -> str:
    table = numbers.frames[DIFFERENCES.name]
    words = (
        "## From home to elsewhere\n\n"
        f"Each cell: the rate less that at home ({numbers.home.name}), in points of %, with "
        "Welch's 95 % interval over victims, not corrected for the number of cells. It has none "
        "where a side has one victim or no victims differ. A rate that works at home drops if the "
        f"interval is below 0, and holds if it is above −{100 * MARGIN:g} points. AUROC: in the "
        "CSV file.\n\n"
    )
    shown = table[table["quantity"].eq("rate")]
    return words + "\n".join(_families(shown, numbers.names[1:], _gap))


def _gap(line: dict[str, Any]) -> str:
    value, *ends = (points(line[f"difference{end}"]) for end in ("", "_low", "_high"))
    words = value if pd.isna(line["difference_low"]) else f"{value} [{', '.join(ends)}]"
    return f"{words} {line['verdict']}".rstrip()


def _variance(numbers: Numbers) -> str:
    header = ["family", "detector", "populations", "victims"]
    header += [f"{LABELS[name]}, {part}" for name in QUANTITIES for part in ("between", "within")]
    table = numbers.frames[VARIANCE.name]
    body = []
    for (moves, detector), part in table.groupby(["moves", "detector"], sort=False):
        cells = {line["quantity"]: line for line in lines(part)}
        first = next(iter(cells.values()))
        body.append([FAMILIES[str(moves)], str(detector)])
        body[-1] += [str(first["populations"]), str(first["victims"])]
        body[-1] += [
            f"{100 * cells[name][end]:.1f}" if name in cells else ""
            for name in QUANTITIES
            for end in ("sd_between", "sd_within")
        ]
    return (
        "## Variance between populations and within them\n\n"
        "Standard deviations in points of % (AUROC: hundredths), from a one-way model with random "
        "effects by the method of moments. Those within are between victims, and hold the draw of "
        "targets and images. With few populations the standard deviation between them is rough.\n\n"
        f"{text.markdown(header, body, 2)}"
    )


def _rankings(numbers: Numbers) -> str:
    table = numbers.frames[RANKINGS.name]
    body: dict[tuple[str, str, str], list[str]] = {}
    for line in lines(table):
        names = " and ".join(dict.fromkeys([str(line["population"]), str(line["other"])]))
        key = FAMILIES[str(line["moves"])], names, str(line["detectors"])
        words = text.bracketed(line["tau"], line["tau_low"], line["tau_high"])
        body.setdefault(key, ["", ""])[QUANTITIES.index(line["quantity"])] = words
    header = ["family", "populations", "detectors", *(f"τ by {LABELS[n]}" for n in QUANTITIES)]
    return (
        "## Rankings of detectors\n\n"
        "Kendall's τ-b of the detectors that both populations have, ranked by the mean over "
        "victims, with a 95 % percentile interval over victims; a population of one victim is "
        f"fixed. {MEAN.capitalize()}: over all pairs, with the smallest number of detectors. "
        "Differences between victims only lower τ, so near 1 the true value may exceed the upper "
        "end.\n\n"
        f"{text.markdown(header, [[*key, *taus] for key, taus in body.items()], 2)}"
    )
