"""Detectors of a comparison against an attacker who knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from evil_twins.attacks.aware import Aware
from evil_twins.attacks.imc import IMC
from evil_twins.bench.cells.substitute import COLUMNS, OFFERED, PENALTIES
from evil_twins.bench.components.component import Component
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.compare import Comparison, Question
from evil_twins.bench.run.conclude import Conclusion, derive, exclusive
from evil_twins.bench.run.newcomers import Newcomers, with_newcomers
from evil_twins.bench.run.plan import Plan, Shard
from evil_twins.bench.run.schedule import recorded, survey
from evil_twins.bench.run.screen import errors
from evil_twins.bench.run.selection import with_parents
from evil_twins.bench.run.session import Execution, run_cells
from evil_twins.bench.run.state import State
from evil_twins.bench.run.workspace import Folders, Workspace, open_workspace
from evil_twins.bench.store import parquet
from evil_twins.bench.suite import suite as suites
from evil_twins.bench.suite.rows import Row, row_of
from evil_twins.bench.suite.suite import Suite

SECONDS = 60.0
"""Processor seconds for each new detector, of the attacks that know it and of their scores."""

RECORDS = ("targets", "flips", "scores", "failures", "victims")
"""The records that the costs of evasion need."""

Pair = tuple[Shard, Shard]
"""The same targets under an attack that knows a detector, and under one that knows none."""


@dataclass(frozen=True)
class Encounter:
    """The attacks on new detectors by an attacker who knows them.

    Attributes:
        question: The question of the comparison.
        new: The detectors.
        suite: An IMC of the suite, and for each detector the same that knows it.
    """

    question: Question
    new: Newcomers
    suite: Suite

    def meet(
        self, folders: Folders, execution: Execution, console: Console | None = None
    ) -> Comparison:
        """Run the attacks on as many targets as `SECONDS` allow; write what the detectors do.

        The first targets of the suite are attacked first. The seconds that they took are stored
        with them and decide the number of targets: it is the same in every later call.

        Args:
            folders: The folders of results and data.
            execution: The way in which cells are run.
            console: Where progress is shown, or None to be silent.

        Raises:
            UserError: The attack that knows no detector is not stored.
        """
        silent = errors(quiet=True)  # the comparison has said all about the data
        workspace = open_workspace(self.suite, folders, execution.device, silent)
        cells, store = workspace.plan, workspace.store
        pairs = self._pairs(cells, survey(cells, store))
        first = {label: each[:1] for label, each in pairs.items()}
        ran = run_cells(workspace, _part(cells, first, 1), execution, console=console)
        sound = {label: each for label, each in pairs.items() if each[0][0].attack in ran.content}
        count = _count(sound, workspace, ran)
        more = run_cells(workspace, _part(cells, sound, count), execution, console=console)
        part, both = _part(cells, {**first, **sound}, count), _joined(ran, more)
        conclusion = Conclusion(workspace.directory, part, both, both.failed, shown=False)
        if not sound:
            return Comparison(conclusion, None)
        folder = workspace.directory / self.question.folder(self.new) / "aware"
        with exclusive(store, console):
            state = recorded(part, store).updated(both)
            write = partial(self._write, _kinds(part, workspace, state), _targets(cells, pairs))
            derive(replace(workspace, plan=part), state, folder, write, console, RECORDS)
        return Comparison(conclusion, folder)

    def _pairs(self, cells: Plan, state: State) -> dict[str, list[Pair]]:
        """Return the pairs of each detector whose second part is stored, a victim after the other.

        Raises:
            UserError: There are none.
        """

        def targets(shard: Shard) -> tuple[int, int]:
            return cells.cells[shard.attack].spec["targets"]["first"], shard.seed

        unaware = {targets(s): s for s in cells.shards if not s.row.evade}
        stored = {place: s for place, s in unaware.items() if s.attack in state.content}
        if not stored:
            title = next(iter(unaware.values())).row.title
            raise UserError(
                f"{title} of {self.suite.name} is not stored, to compare an attacker with",
                f"remedy: `evil-twins run {self.question.suite}` first, or --results DIR",
            )
        pairs: dict[str, list[Pair]] = {label: [] for label in self.new.labels}
        for shard in sorted((s for s in cells.shards if s.row.evade), key=targets):
            if targets(shard) in stored:
                (label,) = shard.row.evade
                scored = replace(shard, scores={label: shard.scores[label]})
                pairs[label].append((scored, stored[targets(shard)]))
        return pairs

    def _write(self, kinds: Mapping[str, str], targets: int, directory: Path) -> None:
        from evil_twins.bench.analysis import tables  # takes a second to load

        tables.compare_aware(directory, kinds, targets, self.question.fpr)


def encounter(question: Question) -> Encounter:
    """Return the attacks on the new detectors of a comparison; nothing is run.

    Raises:
        UserError: The newcomers are attacks, or the suite has no IMC that could know a detector.
    """
    new = with_newcomers(question.newcomers, suites.load(question.suite), question.against)
    if new.kind == "attack":
        raise UserError(
            f"--aware: {new.labels[0]!r} is an attack, and attackers know detectors",
            "remedy: remove --aware, or name detectors",
        )
    unaware, attack = _imc(new.suite)
    component = Component.of(attack)
    rows = [
        row_of(f"aware-{label}", "aware", component, unaware.count, evade=(label,))
        for label in new.labels
    ]
    columns = tuple(column for column in new.suite.columns if column.label in new.labels)
    return Encounter(question, new, replace(new.suite, rows=(unaware, *rows), columns=columns))


def _imc(suite: Suite) -> tuple[Row, Aware]:
    """Return the IMC of a suite that is nearest to the headline, and the same that knows detectors.

    That is κ "benign", half of PGD's radius and the last layer.

    Raises:
        UserError: There is none.
    """
    pairs = [(row, aware) for row in suite.rows if row.scored and (aware := _aware(row))]
    if not pairs:
        raise UserError(
            f"--aware: {suite.name} has no IMC with φ between 0 and 1, for an attacker to begin",
            "remedy: add one with phi = 0.5, or name a suite that has one by --suite",
        )

    def distance(pair: tuple[Row, Aware]) -> tuple[bool, float, bool]:
        row, aware = pair
        return aware.kappa != "benign", abs(row.phi - 0.5), aware.model.layers != "head"

    return min(pairs, key=distance)


def _aware(row: Row) -> Aware | None:
    """Return the attack of a row with the knowledge of detectors, or None if that cannot be."""
    attack = row.attack.build()
    if not isinstance(attack, IMC) or attack.nature.moves != "both" or not attack.phi:
        return None
    assert attack.input is not None
    assert attack.model is not None
    try:
        return Aware(attack.input, attack.model, attack.kappa, attack.phi, attack.rounds)
    except ValueError:  # its models serve several targets, or its pixels are whole numbers
        return None


def _part(cells: Plan, pairs: Mapping[str, Sequence[Pair]], count: int) -> Plan:
    """Return the cells of the first pairs of each detector, with all that they depend on."""
    shards = [shard for each in pairs.values() for pair in each[:count] for shard in pair]
    shards = list({shard.attack: shard for shard in shards}.values())
    keys = [key for shard in shards for key in shard.keys]
    return Plan(with_parents(cells.cells, keys), cells.victims, tuple(shards))


def _count(pairs: Mapping[str, Sequence[Pair]], workspace: Workspace, state: State) -> int:
    """Return the number of pairs of each detector that take `SECONDS`, by those of the first."""
    keys = [key for each in pairs.values() for key in each[0][0].keys if key in state.content]
    cells = [(workspace.plan.cells[key].kind, state.identity[key]) for key in keys]
    seconds = sum(workspace.store.seconds(*cell) for cell in cells)
    most = max(map(len, pairs.values()), default=1)
    return max(1, min(most, int(SECONDS * len(pairs) / seconds))) if seconds else most


def _joined(ran: State, more: State) -> State:
    """Return the state of the cells of two runs."""
    return State(
        content=ran.content | more.content,
        identity=ran.identity | more.identity,
        failed=ran.failed | more.failed,
        ran=[*ran.ran, *more.ran],
    )


def _targets(cells: Plan, pairs: Mapping[str, Sequence[Pair]]) -> int:
    """Return the number of targets of all pairs of a detector."""
    spans = [cells.cells[pair[0].attack].spec["targets"] for pair in next(iter(pairs.values()))]
    return sum(span["last"] - span["first"] for span in spans)


def _kinds(part: Plan, workspace: Workspace, state: State) -> dict[str, str]:
    """Return the kind of the penalty of each detector that was attacked."""
    kinds: dict[str, set[str]] = {}
    for shard in part.shards:
        if shard.row.evade and shard.attack in state.content:
            file = workspace.store.path("attack", state.identity[shard.attack]) / PENALTIES
            names = {OFFERED}
            if file.exists():
                names = set(parquet.read(file, COLUMNS)["penalty"].to_pylist())
            kinds.setdefault(shard.row.evade[0], set()).update(names)
    return {label: " or ".join(sorted(names)) for label, names in kinds.items()}
