"""Records of a suite, put together from its finished cells under the names of the suite."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from evil_twins.bench.components import source_code
from evil_twins.bench.components.precision import SINGLE
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.plan import Plan, Shard
from evil_twins.bench.run.state import State
from evil_twins.bench.store import files, json_files, parquet, records
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import checksum, fingerprint
from evil_twins.bench.store.records import FILES, Columns
from evil_twins.bench.store.schemas import RunFacts
from evil_twins.bench.store.signature import signature
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.suite.suite import Suite

DERIVED = (*(f"{name}.parquet" for name in (*FILES, "costs")), "tables/*", "figures/*")
VICTIMS = FILES["victims"]
ORDER = ("role", "treatment", "target_id", "image_id", "name")


@dataclass(frozen=True)
class Finished:
    """A suite with the state of its cells; the targets of an attack are read once."""

    suite: Suite
    data: Dataset
    plan: Plan
    state: State
    store: Store
    _targets: dict[str, pa.Table] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def study(self, seed: int) -> dict[str, Any]:
        """Return the keys that all rows of a victim share: data set, victim, seed."""
        return {"dataset": self.data.name, "victim": self.suite.victim.name, "seed": seed}

    def record(self, key: str, name: str) -> pa.Table:
        """Return a record of a finished cell.

        Raises:
            UserError: It is damaged; the cell then no longer counts as finished.
        """
        if name == "targets" and key in self._targets:
            return self._targets[key]
        cell = self.plan.cells[key]
        folder = self.store.path(cell.kind, self.state.identity[key])
        try:
            table = parquet.read(folder / f"{name}.parquet", records.PARTS[name])
        except UserError as error:
            self.store.unmark(cell.kind, self.state.identity[key])
            raise UserError(error.lines[0], "remedy: run again") from error
        if name == "targets":
            self._targets[key] = table
        return table

    def computed(self, key: str) -> str:
        """Return the value of `records.COMPUTED` for a finished victim cell."""
        kind, precision = self.plan.cells[key].kind, self.suite.precision
        processor, gpu = self.store.hardware(kind, self.state.identity[key])
        if precision != SINGLE and not gpu:
            return precision
        return f"{precision} on {gpu or processor or 'an unknown machine'}"

    def layers(self, attack: str) -> str:
        """Return the layers that a finished attack cell moved."""
        return str(self.record(attack, "targets")["layers"][0].as_py())

    @property
    def mark(self) -> str:
        """A hash that changes whenever the records, tables or figures would change."""
        analysis = Path(__file__).parents[1] / "analysis"
        code = source_code.closure(
            Path(__file__), *(analysis / name / "__init__.py" for name in ("tables", "plots"))
        )
        shards = [
            [shard.row.label, shard.row.method, shard.seed, *shard.keys]
            for shard in self.plan.shards
        ]
        cells, names = [self.state.content, self.state.failed], (self.data.name, self.suite.name)
        return fingerprint([code.digest, self.suite.victim.name, *names, shards, *cells])


class Scores(Protocol):
    """Scores that need not be read from cells."""

    def find(self, keys: Mapping[str, Any], detector: str) -> pa.Table | None:
        """Return the lines of a row and a detector in their order, or None if there are none."""


def assemble(
    done: Finished,
    directory: Path,
    names: Collection[str] = FILES,
    stored: Scores | None = None,
) -> dict[str, int]:
    """Write the records of the suite.

    Args:
        done: The suite with the state of its cells.
        directory: `<results>/<suite>`.
        names: The records that are written, some of `FILES`.
        stored: Scores that equal those of the cells; None to read all from the cells.

    Returns:
        Name of the record -> number of lines.

    Raises:
        UserError: A record of a cell is damaged.
    """
    sizes = dict.fromkeys(names, 0)
    with ExitStack() as stack:
        append = {
            name: stack.enter_context(
                records.writing(directory / f"{name}.parquet", pa.schema(list(columns.items())))
            )
            for name, columns in FILES.items()
            if name in names
        }
        for name, table in _tables(done, names, stored):
            append[name](table)
            sizes[name] += len(table)
    return sizes


def _tables(
    done: Finished, names: Collection[str], stored: Scores | None
) -> Iterator[tuple[str, pa.Table]]:
    """Give the lines of these records in their order, one row of the matrix at a time."""
    for seed, key in done.plan.victims.items():
        if key in done.state.content and "victims" in names:
            facts = done.study(seed) | {"content": done.state.content[key]}
            facts |= {"computed": done.computed(key)}
            yield "victims", records.keyed(done.record(key, "victim"), facts, VICTIMS)
    if "failures" in names:
        yield "failures", _failures(done).sort_by([("kind", "ascending"), ("cell", "ascending")])
    rows: dict[tuple[Any, ...], list[Shard]] = defaultdict(list)
    for shard in done.plan.shards:
        if shard.attack in done.state.content:
            rows[tuple(keys_of(done, shard).values())].append(shard)
    knowledge = {column.label: column.detector.build().knowledge for column in done.suite.columns}
    for values in sorted(rows, key=lambda row: [(value is None, value) for value in row]):
        keys = dict(zip(records.KEYS, values, strict=True))
        for name in _in_order(names, "targets", "flips", "gallery"):
            pieces = [done.record(shard.attack, name) for shard in rows[values]]
            nature = nature_of(rows[values][0]) if name == "targets" else {}
            yield name, _ordered(pieces, keys | nature, FILES[name])
        if "durability" in names:
            treated = [key for shard in rows[values] for key in durability_keys(done, shard)]
            pieces = [done.record(key, "durability") for key in treated]
            yield "durability", _ordered(pieces, keys, FILES["durability"])
        for label in sorted(knowledge):
            column = keys | {"detector": label, "knowledge": knowledge[label]}
            scored = [key for shard in rows[values] for key in score_keys(done, shard, label)]
            for name in _in_order(names, "scores", "details"):
                if name == "scores" and stored and (table := stored.find(keys, label)):
                    yield name, table
                    continue
                pieces = [done.record(key, name) for key in scored]
                yield name, _ordered(pieces, column, FILES[name])


def _in_order(names: Collection[str], *all_names: str) -> list[str]:
    return [name for name in all_names if name in names]


def score_keys(done: Finished, shard: Shard, label: str) -> list[str]:
    """Return the finished cells with the scores of a detector on a shard, if all are finished."""
    keys = [part[label] for part in (shard.scores, shard.benign) if label in part]
    return keys if all(key in done.state.content for key in keys) else []


def durability_keys(done: Finished, shard: Shard) -> list[str]:
    """Return the durability cell of a shard, if it has one that is finished."""
    return [shard.durability] if shard.durability in done.state.content else []


def keys_of(done: Finished, shard: Shard) -> dict[str, Any]:
    """Return the keys of the row that a shard belongs to."""
    row = shard.row
    sweep = {"kappa": row.kappa, "phi": row.phi, "lam": row.lam}
    return {
        **done.study(shard.seed),
        "attack": row.label,
        "method": row.method,
        "layers": done.layers(shard.attack),
        **{name: None if isnan(value) else value for name, value in sweep.items()},
    }


def nature_of(shard: Shard) -> dict[str, str]:
    """Return the parts that the attack of a row moves, and its role."""
    nature = shard.row.attack.build().nature
    return {"moves": nature.moves, "role": nature.role}


def _ordered(pieces: list[pa.Table], keys: Mapping[str, Any], columns: Columns) -> pa.Table:
    """Return the pieces as one table under the same keys, sorted by the other columns of ORDER."""
    empty = pa.schema(list(columns.items())).empty_table()
    table = pa.concat_tables([empty, *(records.keyed(piece, keys, columns) for piece in pieces)])
    order = [(name, "ascending") for name in ORDER if name in columns and name not in keys]
    return table.sort_by(order)


def _failures(done: Finished) -> pa.Table:
    lines = []
    for key, reason in done.state.failed.items():
        cell, log = done.plan.cells[key], ""
        if key in done.state.identity:
            path = done.store.log(cell.kind, done.state.identity[key])
            log = path.relative_to(done.store.root.parent).as_posix()
        lines.append({"kind": cell.kind, "cell": cell.title, "reason": reason, "log": log})
    return pa.Table.from_pylist(lines, schema=pa.schema(list(records.FAILURES.items())))


def derived(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every record, table and figure of a folder, by path.

    It is empty for what is no regular file, or a link out of the folder.
    """
    paths = [path for pattern in DERIVED for path in directory.glob(pattern)]
    return {
        path.relative_to(directory).as_posix(): checksum(path, directory)
        if files.present(path, directory)
        else ""
        for path in sorted(paths)
    }


def current(directory: Path, mark: str) -> bool:
    """Check whether a program of this user made the files of a folder, for this mark."""
    facts = json_files.read(directory / "run.json", directory, RunFacts)
    return facts is not None and facts.mark == signature([mark, derived(directory)])
