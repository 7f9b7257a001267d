"""Facts about a run, in words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evil_twins.bench.analysis.page.ranks import RanksByCell
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.tables import Analysis, frames, text
from evil_twins.bench.analysis.tables.records import STUDY, Records
from evil_twins.bench.analysis.tables.victims import VICTIMS
from evil_twins.bench.store import json_files
from evil_twins.bench.store.records import MODEL_SCORE
from evil_twins.bench.store.schemas import RunFacts

PACKAGES = ("evil-twins", "torch", "numpy", "scipy")
"""Packages with a version on the page; run.json holds more."""

Facts = list[tuple[str, list[str]]]
"""Headings, each with its lines."""


def facts(analysis: Analysis, by_cell: RanksByCell, directory: Path) -> Facts:
    """Return attacks, budgets, targets, detectors; then date, versions and machine of the run.

    Without a readable run.json in the directory the last facts are unknown.
    """
    records, detectors = analysis.records, style.detector_order(name for _, name in by_cell)
    rows, targets = records.rows, records.targets
    sizes = sorted(set(targets.groupby("row").size()))
    heldout = sorted({int(n) for n in targets["heldout"]})
    knowledge = records.scores.groupby("detector")["knowledge"].max()
    calibrated = sorted({cell.n for cell in by_cell.values()})
    details = records.details
    judging = sorted(set(details.loc[details["name"].eq(MODEL_SCORE), "detector"]))
    levels = [
        f"{symbol} {', '.join(write(float(v)) for v in sorted(set(rows[name].dropna())))}"
        for name, symbol, write in (
            ("kappa", "κ", text.level),
            ("phi", "φ", text.short),
            ("lam", "λ", text.short),
        )
        if rows[name].notna().any()
    ]
    listed = f"n = {span(sizes)} of the list {', '.join(sorted(set(targets['list'])))}"
    if (victims := len(rows[STUDY].drop_duplicates())) > 1:
        listed += f", for each of {victims} victims"
    entries = [
        ("Attacks", [", ".join(dict.fromkeys(str(name) for name in rows["attack"]))]),
        ("Budgets", levels),
        ("Targets", [listed, f"specificity on {span(heldout)} held-out images"]),
        ("Detectors", [", ".join(f"{name} ({knowledge[name]})" for name in detectors)]),
        ("Detectors of models", [", ".join(judging)] if judging else []),
        ("Thresholds", [f"from {span(calibrated)} benign scores for each attack"]),
    ]
    return [(head, words) for head, words in [*entries, *_run(directory)] if words]


def victims(analysis: Analysis, titles: Mapping[str, str]) -> list[str]:
    """Return every study, with the accuracy of its victim if that is stored.

    Args:
        analysis: The numbers of a suite.
        titles: Other titles of studies than `text.study`.
    """
    studies = analysis.records.rows[STUDY].drop_duplicates()
    measured = analysis.table(VICTIMS).drop_duplicates(STUDY)
    lines = frames.lines(studies.merge(measured, on=STUDY, how="left"))
    names = [text.study(line) for line in lines]
    return [
        titles.get(name, name) + _accuracy(line) for name, line in zip(names, lines, strict=True)
    ]


def _accuracy(line: dict[str, Any]) -> str:
    names = frames.ends("accuracy").split()
    value, low, high = (text.number(100 * float(line[name])) for name in names)
    interval = f" [{low}, {high}]" if low else ""
    return f": test accuracy {value} %{interval}" if value else ""


def failures(records: Records) -> list[dict[str, Any]]:
    """Return the failed cells, in order."""
    return frames.lines(records.failures.sort_values(["kind", "cell"]))


def span(numbers: list[int]) -> str:
    """Write the first and the last of rising numbers."""
    return "–".join(str(n) for n in sorted({*numbers[:1], *numbers[-1:]})) or "none"


def _run(directory: Path) -> Facts:
    """Return the facts of run.json, which may have any content."""
    run = json_files.read(directory / "run.json", directory, RunFacts)
    if run is None:
        return [("Run", ["date, versions and machine are unknown: run.json is missing or damaged"])]
    packages = run.code.packages
    versions = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    commit = f"commit {run.code.commit[:12]}" if run.code.commit else ""
    changed = " with changes" if commit and run.code.dirty else ""
    cores = "" if run.machine.cores is None else f"{run.machine.cores} cores"
    machine = [run.machine.processor, cores, run.machine.gpu or run.machine.device]
    machine.append(run.machine.system)
    python = f"Python {run.code.python}" if run.code.python else ""
    entries = {
        "Date": [run.date or "unknown: run.json does not say"],
        "Command": [" ".join(run.command)],
        "Versions": [", ".join(filter(None, [python, *versions])), commit + changed],
        "Machine": [", ".join(filter(None, machine))],
    }
    if (cost := run.computing) is not None:
        entries["Computing"] = [f"{cost.core_hours:.3g} core-hours in {cost.cells} cells"]
    return [(head, list(filter(None, lines))) for head, lines in entries.items()]
