"""What was run, in words."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from evil_twins.bench.analysis.page.matrix import Known
from evil_twins.bench.analysis.tables import Analysis, frames, text
from evil_twins.bench.analysis.tables.records import STUDY, Records
from evil_twins.bench.analysis.tables.victims import VICTIMS
from evil_twins.bench.store.records import MODEL_SCORE

PACKAGES = ("evil-twins", "torch", "numpy", "scipy")
"""Whose versions are shown; run.json holds more."""

Facts = list[tuple[str, list[str]]]
"""A heading, and what there is to say under it."""


class _Code(BaseModel):
    python: str = ""
    packages: dict[str, str] = {}
    commit: str | None = None
    dirty: bool = False


class _Machine(BaseModel):
    system: str = ""
    processor: str = ""
    cores: int | None = None
    device: str = ""
    gpu: str = ""


class _Computing(BaseModel):
    cells: int = 0
    core_hours: float = 0.0


class _Run(BaseModel):
    command: list[str] = []
    date: str = ""
    code: _Code = _Code()
    machine: _Machine = _Machine()
    computing: _Computing | None = None


def facts(records: Records, known: Known, detectors: list[str], directory: Path) -> Facts:
    """Attacks, budgets, targets, detectors; then date, versions and machine of the run.

    Args:
        records: The records.
        known: Ranks by row and detector.
        detectors: Their names, in order.
        directory: `<results>/<suite>`; without a readable run.json in it the last ones are unknown.
    """
    rows, targets = records.rows, records.targets
    sizes = sorted(set(targets.groupby("row").size()))
    held = sorted({int(n) for n in targets["heldout"]})
    given = records.scores.groupby("detector")["knowledge"].max()
    calibrated = sorted({one.n for one in known.values()})
    details = records.details
    judging = sorted(set(details.loc[details["name"].eq(MODEL_SCORE), "detector"]))
    levels = [
        f"{symbol} {', '.join(text.short(float(v)) for v in sorted(set(rows[name].dropna())))}"
        for name, symbol in (("kappa", "κ"), ("phi", "φ"), ("lam", "λ"))
        if rows[name].notna().any()
    ]
    found = [
        ("Attacks", [", ".join(dict.fromkeys(str(name) for name in rows["attack"]))]),
        ("Budgets", levels),
        (
            "Targets",
            [
                f"n = {span(sizes)} of the list {', '.join(sorted(set(targets['list'])))}",
                f"specificity on {span(held)} held-out images",
            ],
        ),
        ("Detectors", [", ".join(f"{name} ({given[name]})" for name in detectors)]),
        ("Detectors of models", [", ".join(judging)] if judging else []),
        ("Thresholds", [f"from {span(calibrated)} benign scores for each attack"]),
    ]
    return [(head, said) for head, said in [*found, *_made(directory)] if said]


def victims(records: Records) -> list[str]:
    """Every study, with the accuracy of its victim where that is stored."""
    studies = records.rows[STUDY].drop_duplicates()
    measured = Analysis(records).table(VICTIMS).drop_duplicates(STUDY)
    return [
        text.study(one) + _accuracy(one)
        for one in frames.lines(studies.merge(measured, on=STUDY, how="left"))
    ]


def _accuracy(one: dict[str, Any]) -> str:
    value, low, high = (
        text.number(100 * float(one[name]))
        for name in ("accuracy", "accuracy_low", "accuracy_high")
    )
    interval = f" [{low}, {high}]" if low else ""
    return f": test accuracy {value} %{interval}" if value else ""


def failures(records: Records) -> list[dict[str, Any]]:
    """The cells that failed, in order."""
    return frames.lines(records.failures.sort_values(["kind", "cell"]))


def span(numbers: list[int]) -> str:
    """The first and the last of rising numbers."""
    return "–".join(str(n) for n in sorted({*numbers[:1], *numbers[-1:]})) or "none"


def _made(directory: Path) -> Facts:
    """What run.json says; a stranger may have written it."""
    try:
        run = _Run.model_validate_json((directory / "run.json").read_bytes())
    except (OSError, ValidationError):
        return [("Run", ["date, versions and machine are unknown: run.json is missing or damaged"])]
    packages = run.code.packages
    versions = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    commit = f"commit {run.code.commit[:12]}" if run.code.commit else ""
    changed = " with changes" if commit and run.code.dirty else ""
    cores = "" if run.machine.cores is None else f"{run.machine.cores} cores"
    machine = [run.machine.processor, cores, run.machine.gpu or run.machine.device]
    machine.append(run.machine.system)
    python = f"Python {run.code.python}" if run.code.python else ""
    said = {
        "Date": [run.date or "unknown: run.json does not say"],
        "Command": [" ".join(run.command)],
        "Versions": [", ".join(part for part in [python, *versions] if part), commit + changed],
        "Machine": [", ".join(part for part in machine if part)],
    }
    if (took := run.computing) is not None:
        said["Computing"] = [f"{took.core_hours:.3g} core-hours in {took.cells} cells"]
    return [(head, [part for part in parts if part]) for head, parts in said.items()]
