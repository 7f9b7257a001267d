"""From finished cells to the tidy records of a suite, under the names that the suite gives."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench import records, sources
from bench.cells.store import Store, fingerprint
from bench.data import Dataset
from bench.plan import Plan, Shard
from bench.records import Columns
from bench.run import State
from bench.suite import Suite

STUDY: Columns = {name: records.KEYS[name] for name in ("dataset", "victim", "seed")}
DETECTOR: Columns = {"detector": records.FAILURES["cell"], "knowledge": records.FAILURES["cell"]}
FILES: Mapping[str, Columns] = {
    "targets": {**records.KEYS, **records.TARGETS},
    "flips": {**records.KEYS, **records.FLIPS},
    "gallery": {**records.KEYS, **records.GALLERY},
    "scores": {**records.KEYS, **DETECTOR, **records.SCORES},
    "details": {**records.KEYS, "detector": DETECTOR["detector"], **records.DETAILS},
    "victims": {**STUDY, **records.VICTIMS},
    "failures": records.FAILURES,
}
ORDER = ("detector", "role", "target_id", "image_id", "name")


@dataclass(frozen=True)
class Finished:
    """A plan that has been run as far as it goes."""

    suite: Suite
    data: Dataset
    plan: Plan
    state: State
    store: Store

    @property
    def study(self) -> dict[str, Any]:
        """The keys that all rows share."""
        victim = self.suite.victim
        return {"dataset": self.data.name, "victim": victim.architecture, "seed": victim.seed}

    def part(self, key: str, file: str) -> pd.DataFrame:
        """What a finished cell left."""
        cell = self.plan.cells[key]
        folder = self.store.path(cell.kind, self.state.identity[key])
        return records.read(folder / f"{file}.parquet")

    @property
    def mark(self) -> str:
        """Changes whenever the records, tables or figures would."""
        here = Path(__file__).parent
        code = sources.digest(
            Path(__file__), *(here / half / "__init__.py" for half in ("tables", "plots"))
        )
        shards = [
            [shard.row.label, shard.row.method, shard.attack, dict(shard.scores)]
            for shard in self.plan.shards
        ]
        return fingerprint(
            [code, self.study, shards, self.state.content, self.state.failed, self.suite.name]
        )


def assemble(done: Finished, directory: Path) -> dict[str, int]:
    """Write every record of the suite.

    Args:
        done: The plan and what became of it.
        directory: `<results>/<suite>`.

    Returns:
        Name of the record -> number of lines.

    Raises:
        UserError: A stored part is damaged.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in FILES}
    if done.plan.victim in done.state.content:
        parts["victims"].append(done.part(done.plan.victim, "victim").assign(**done.study))
    parts["failures"].append(_failures(done))
    for shard in done.plan.shards:
        for name, frame in _shard(done, shard):
            parts[name].append(frame)
    sizes = {}
    for name, columns in FILES.items():
        frame = pd.concat(parts[name]) if parts[name] else records.empty(columns)
        order = [key for key in (*records.KEYS, *ORDER) if key in columns]
        order = order or ["kind", "cell"]
        records.write(
            frame.sort_values(order, kind="stable"), columns, directory / f"{name}.parquet"
        )
        sizes[name] = len(frame)
    return sizes


def _shard(done: Finished, shard: Shard) -> Iterator[tuple[str, pd.DataFrame]]:
    if shard.attack not in done.state.content:
        return
    targets = done.part(shard.attack, "targets")
    row = shard.row
    keys = done.study | {
        "attack": row.label,
        "method": row.method,
        "layers": targets["layers"].iloc[0],
        "kappa": row.kappa,
        "phi": row.phi,
        "lam": row.lam,
    }
    yield "targets", targets.assign(**keys)
    for name in ("flips", "gallery"):
        yield name, done.part(shard.attack, name).assign(**keys)
    knowledge = {column.label: column.detector.build().knowledge for column in done.suite.columns}
    for label, key in shard.scores.items():
        if key in done.state.content:
            named = keys | {"detector": label}
            yield "scores", done.part(key, "scores").assign(**named, knowledge=knowledge[label])
            yield "details", done.part(key, "details").assign(**named)


def _failures(done: Finished) -> pd.DataFrame:
    lines = []
    for key, why in done.state.failed.items():
        cell, log = done.plan.cells[key], ""
        if key in done.state.identity:
            path = done.store.log(cell.kind, done.state.identity[key])
            log = path.relative_to(done.store.root.parent).as_posix()
        lines.append({"kind": cell.kind, "cell": cell.title, "reason": why, "log": log})
    return pd.DataFrame(lines, columns=pd.Index(list(records.FAILURES)))


def current(directory: Path, mark: str) -> bool:
    """Whether the records, tables and figures of a folder are those of the mark."""
    try:
        stored = json.loads((directory / "run.json").read_text())
    except (OSError, ValueError):
        return False
    wanted = [directory / f"{name}.parquet" for name in FILES] + [directory / "tables"]
    return stored.get("mark") == mark and all(path.exists() for path in wanted)
