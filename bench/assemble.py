"""From finished cells to the tidy records of a suite, under the names that the suite gives."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

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

    def part(self, key: str, file: str) -> pa.Table:
        """What a finished cell left."""
        cell = self.plan.cells[key]
        folder = self.store.path(cell.kind, self.state.identity[key])
        return records.load(folder / f"{file}.parquet")

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
    parts: dict[str, list[pa.Table]] = {name: [] for name in FILES}
    if done.plan.victim in done.state.content:
        victim = done.part(done.plan.victim, "victim")
        parts["victims"].append(records.keyed(victim, done.study, FILES["victims"]))
    parts["failures"].append(_failures(done))
    for shard in done.plan.shards:
        for name, table in _shard(done, shard):
            parts[name].append(table)
    sizes = {}
    for name, columns in FILES.items():
        empty = pa.schema(list(columns.items())).empty_table()
        table = pa.concat_tables([empty, *parts.pop(name)]).combine_chunks()
        order = [key for key in (*records.KEYS, *ORDER) if key in columns] or ["kind", "cell"]
        records.save(
            table.sort_by([(key, "ascending") for key in order]), directory / f"{name}.parquet"
        )
        sizes[name] = len(table)
    return sizes


def _shard(done: Finished, shard: Shard) -> Iterator[tuple[str, pa.Table]]:
    if shard.attack not in done.state.content:
        return
    targets, row = done.part(shard.attack, "targets"), shard.row
    keys = done.study | {
        "attack": row.label,
        "method": row.method,
        "layers": targets["layers"][0].as_py(),
        "kappa": row.kappa,
        "phi": row.phi,
        "lam": row.lam,
    }
    yield "targets", records.keyed(targets, keys, FILES["targets"])
    for name in ("flips", "gallery"):
        yield name, records.keyed(done.part(shard.attack, name), keys, FILES[name])
    knowledge = {column.label: column.detector.build().knowledge for column in done.suite.columns}
    for label, key in shard.scores.items():
        if key in done.state.content:
            named = keys | {"detector": label, "knowledge": knowledge[label]}
            for name in ("scores", "details"):
                yield name, records.keyed(done.part(key, name), named, FILES[name])


def _failures(done: Finished) -> pa.Table:
    lines = []
    for key, why in done.state.failed.items():
        cell, log = done.plan.cells[key], ""
        if key in done.state.identity:
            path = done.store.log(cell.kind, done.state.identity[key])
            log = path.relative_to(done.store.root.parent).as_posix()
        lines.append({"kind": cell.kind, "cell": cell.title, "reason": why, "log": log})
    return pa.Table.from_pylist(lines, schema=pa.schema(list(records.FAILURES.items())))


def current(directory: Path, mark: str) -> bool:
    """Whether the records, tables and figures of a folder are those of the mark."""
    try:
        stored = json.loads((directory / "run.json").read_text())
    except (OSError, ValueError):
        return False
    wanted = [directory / f"{name}.parquet" for name in FILES] + [directory / "tables"]
    return stored.get("mark") == mark and all(path.exists() for path in wanted)
