"""Compare a new detector with the others of a suite, over the victims of its recipe."""

from collections.abc import Iterable, Iterator

import pandas as pd

from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis
from evil_twins.bench.analysis.tables.compare import detector
from evil_twins.bench.analysis.tables.compare.differences import Cell, Pair, Tables
from evil_twins.bench.analysis.tables.detection import STRICT
from evil_twins.bench.analysis.tables.frames import column, frame
from evil_twins.bench.analysis.tables.paired import worst
from evil_twins.bench.analysis.tables.population import POPULATION, over_victims, pooled
from evil_twins.bench.analysis.tables.recipes import MEAN, RECIPE, numbered, populations
from evil_twins.bench.analysis.tables.victim_differences import (
    CORRECTION,
    DIFFERENCES,
    LEVEL,
    differences,
    floor,
)

KS = "KS"
_WORST = ["dataset", "victim", "kappa", "detector"]
_POOLED = ["victims", "attacks", "n", "caught", "imc_caught", "rate", "low", "high"]
_POOLED += ["least", "most", "effect"]


def tables(analysis: Analysis, costs: pd.DataFrame, label: str) -> Tables:
    """Compare a new detector with the others over victims.

    Args:
        analysis: The numbers, those of the newcomer among them.
        costs: `records.COSTS` by row.
        label: The newcomer.

    Returns:
        "compare", its lines of the detection table for each victim, with its costs; "population",
        the same over victims; "paired", it and each other detector, attack by attack; "worst",
        every detector under all attacks of the list, with the newcomer's difference.
    """
    single = detector.rates_and_costs(analysis, costs, label)
    seconds = detector.per_input(costs[costs["detector"] == label], RECIPE)
    population = frame(over_victims(single), POPULATION.names)
    pairs = _differences(detector.by_attack(analysis, label), [*RECIPE, "detector"])
    return {
        "compare": single,
        "population": population.merge(seconds, on=RECIPE, how="left"),
        "paired": pairs.rename(columns={"detector": "other"}),
        "worst": _worst(analysis, label),
    }


def _differences(pairs: Iterable[Pair], keys: list[str]) -> pd.DataFrame:
    """Average the differences of rates over victims; all of them are one family."""
    sides = [
        key | {"value": first.mean(), "other": second.mean(), "family": 0}
        for key, first, second, _ in pairs
        if len(first)
    ]
    columns = [*keys, "seed", "family", "value", "other"]
    return frame(differences(frame(sides, columns), keys), [*keys, *DIFFERENCES])


def _worst(analysis: Analysis, label: str) -> pd.DataFrame:
    """Return `worst` over victims with the newcomer's difference on shared attacks."""
    gaps = _differences(detector.under_every_attack(analysis, label), _WORST)
    gaps = gaps.drop(columns=["mean", "mean_other"])
    names = {name: f"difference_{name}" for name in ("victims", "least", "most")}
    table = frame(_caught(worst(analysis.records, analysis.decisions)), [*_WORST, *_POOLED])
    table = table.merge(gaps.rename(columns=names), on=_WORST, how="left")
    return detector.with_knowledge(analysis, table)


def _caught(single: pd.DataFrame) -> Iterator[Cell]:
    """Yield the targets of all victims that each detector catches, if several have it."""
    for key, victims in single[single["n"] > 0].groupby(_WORST, sort=True):
        if len(victims) > 1:
            counts = {name: int(victims[name].sum()) for name in ("n", "caught", "imc_caught")}
            counts |= {"victims": len(victims), "attacks": int(victims["attacks"].min())}
            rates = pooled(column(victims, "caught"), column(victims, "n"))
            yield dict(zip(_WORST, key, strict=True)) | counts | rates


def words(analysis: Analysis, tables: Tables, label: str) -> str:
    """Write a new detector and the others over victims."""
    fpr, strict = text.percent(analysis.fpr), text.percent(STRICT)
    knowledge = "".join(sorted(set(tables["compare"]["knowledge"]))[:1])
    ((title, _, rows),) = populations(analysis.records.rows)
    table = numbered(rows, tables["population"])
    blocks = [
        f"# {label} ({knowledge}) and the other detectors\n\n{title}. Thresholds come from benign "
        f"scores under the faced models, at a false-positive rate (FPR) of {fpr} and of {strict}. "
        "Targets are those of all victims, and AUROC and KS are means over victims; in brackets "
        f"95 % intervals {MEAN}: of Korn and Graubard for rates, of Student's t for means. "
        "Realised FPR: of the other benign images of all victims. Attacker's success: at κ, within "
        f"ε and not flagged at {fpr}. Milliseconds are those of whole score cells, fits included. "
        "The numbers of each victim are in `compare.csv`, also where only one victim has "
        "scores.\n\n" + detector.matrix(rows, table, analysis.fpr, KS)
    ]
    pairs = tables["paired"]
    sure = pairs[pairs["p_max_t"] < LEVEL]
    blocks += detector.others(tables["worst"], sure, label, detector.MAX_T)
    blocks.append(
        "\nCaught: flagged under *every* attack that reaches κ, of all at that κ, "
        f"without controls. Difference: {label} minus the other on the same targets within each "
        f"victim, then the mean over victims; its interval, of Student's t, holds {MEAN} and is "
        "not corrected; there is none where all victims have the same difference. p: signs flip by "
        f"victim. p (max-T): corrected over all detectors and κ, {CORRECTION}. "
        f"{_floor(tables['worst'])}More, fewer: attacks under which {label} flags more or fewer "
        f"targets than the other, at p < {LEVEL:g} so corrected over all pairs; each is in "
        "`paired.csv`.\n\n"
    )
    return "".join([*blocks, text.failures(analysis.records)])


def _floor(table: pd.DataFrame) -> str:
    """Write the smallest p-value that is possible, or "" without a difference."""
    least = table["p_least"].dropna()
    return f"{floor(float(least.min()))} " if len(least) else ""
