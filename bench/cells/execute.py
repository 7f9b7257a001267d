"""Run cells in a worker: specs come in, outcomes go out."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.cells import (
    attack,
    durability,
    evade,
    inspection,
    preparation,
    score,
    seeds,
    substitute,
    victim,
)
from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components.component import OURS, Component
from evil_twins.bench.components.containment import component_runs
from evil_twins.bench.components.precision import PRECISIONS, SINGLE, precision
from evil_twins.bench.components.source_code import Code, code_of
from evil_twins.bench.errors import Damaged, Fault, reason, trace
from evil_twins.bench.store import provenance
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.soundness import unmark
from evil_twins.bench.store.soundness import verify as verify_cell

if TYPE_CHECKING:
    from evil_twins.bench.subjects.networks.network import Network

METHODS = ("evil_twins.attacks.", "evil_twins.detectors.")
"""The packages of the attacks and detectors of this project."""

KINDS = {
    "victim": victim.run,
    "fit": preparation.run,
    "attack": attack.run,
    "benign": score.run,
    "score": score.run,
    "durability": durability.run,
}


@dataclass(frozen=True)
class Job:
    """One cell to run, with its identity.

    Attributes:
        kind: A key of `KINDS`.
        identity: Identity of the cell.
        title: Name for people.
        label: Name of its component in the suite.
        component: The attack or detector, or None.
        spec: Everything that decides its content.
        source: SHA-256 of the code that it depends on.
        parents: Role -> (kind, identity, content hash) of a finished cell.
        evade: The detectors that the attack evades.
        network: The code of the victim's network, if it is not of this project.
        weights: The file of a victim that is not trained.
    """

    kind: str
    identity: str
    title: str
    label: str
    component: Component | None
    spec: Mapping[str, Any]
    source: str
    parents: Mapping[str, tuple[str, str, str]]
    evade: tuple[Component, ...] = ()
    network: Network | None = None
    weights: Path | None = None

    @property
    def components(self) -> tuple[Component, ...]:
        """The attack or detector, and the detectors that it evades."""
        return (*([self.component] if self.component else []), *self.evade)

    @property
    def plugins(self) -> tuple[Component, ...]:
        """The components that are no part of this project, and the network of the victim."""
        networks = [Component(self.network.place, {})] if self.network else []
        others = [each for each in self.components if not each.place.startswith(OURS)]
        return (*others, *networks)

    @property
    def foreign(self) -> bool:
        """Whether it runs other code than attacks, detectors and readers of this project."""
        methods = all(each.place.startswith(METHODS) for each in self.components)
        return self.network is not None or "code" in self.spec["dataset"] or not methods

    @property
    def code(self) -> Code:
        """The code that it would run here and now."""
        network = self.network.source if self.network else None
        return code_of(self.kind, self.spec["dataset"], *self.components, network=network)

    def run(self, work: Work) -> None:
        """Write the content of the cell."""
        if self.evade:
            offered = all(hasattr(detector.load(), "penalty") for detector in self.evade)
            (evade if offered else substitute).run(work)
        elif self.kind == "score" and self.component and self.component.inspects:
            inspection.run(work)
        else:
            KINDS[self.kind](work)


@dataclass(frozen=True)
class Outcome:
    """The result of a cell: its content hash, or the reason of its failure; and its duration.

    The duration in seconds is NaN where it is unknown.
    """

    identity: str
    content: str | None
    reason: str = ""
    seconds: float = nan


@dataclass(frozen=True)
class Place:
    """The places that a run reads from and writes to, and the version of its code for sidecars.

    `data` is the folder of data sets, or None for the default place.
    """

    store: Store
    data: Path | None
    code: Mapping[str, Any]

    def lost(self, job: Job, why: str) -> Outcome:
        """Record the failure of a cell whose worker died, and return its outcome.

        A cell that was committed before its worker died stays finished.
        """
        content = self.store.find(job.kind, job.identity)
        if content is None or self.store.lacks_models(job.kind, job.identity):
            content = None
            self.store.sweep()
            self.store.fail(job.kind, job.identity, job.title, why, f"{why}\n")
        return Outcome(job.identity, content, why)


def execute(place: Place, job: Job) -> Outcome:
    """Run a cell; if it raises, record the reason."""
    start, folder = time.perf_counter(), None
    provenance.forget_peak()
    try:
        folder = place.store.begin(job.kind, job.identity)
        versions = dict(compute(place, job, folder).versions)
        facts = {"title": job.title, "spec": job.spec, "parents": job.parents, "versions": versions}
        seconds = time.perf_counter() - start
        sidecar = _sidecar(job, place, seconds)
        content = place.store.commit(job.kind, job.identity, folder, facts, sidecar)
    except Exception as error:
        why = reason(error)
        place.store.fail(job.kind, job.identity, job.title, why, trace(error))
        return Outcome(job.identity, None, why, time.perf_counter() - start)
    finally:
        if folder is not None:
            place.store.discard(folder)
    return Outcome(job.identity, content, seconds=seconds)


def compute(place: Place, job: Job, folder: Path) -> Code:
    """Check the parents of a cell, write its content into a folder, and return its code.

    Raises:
        Fault: A parent is damaged, the code is not that of the plan, or the result of a component
            is not sound.
    """
    parents = {role: place.store.path(*parent[:2]) for role, parent in job.parents.items()}
    for role, (_, _, content) in job.parents.items():
        if verify_cell(parents[role]) != content:
            raise Fault(f"{parents[role]} has changed during the run; run again")
    cell = (job.spec, job.label, job.component, parents, folder)
    work = Work(*cell, place.data, job.weights, job.evade, job.network)
    with component_runs():  # it is loaded here
        _checked_code(job)
    try:
        with isolated(job):
            job.run(work)
    except Damaged as error:
        for parent in parents.values():
            if error.path.is_relative_to(parent):  # its checksums are right, and its form is not
                unmark(parent)
        raise
    return _checked_code(job)


def _checked_code(job: Job) -> Code:
    """Return the code if it is that of the cell's identity: files may be edited during a run."""
    code = job.code
    if code.digest != job.source:
        raise Fault(
            f"the code of {job.label!r} is not that of the plan: it has changed during the run, or "
            "another version is installed here; run again"
        )
    return code


def isolated(job: Job) -> ExitStack:
    """Set threads, precision, exact arithmetic, and a global seed that the cell decides.

    So a cell stores the same bytes wherever it runs, even if a component draws from the global
    generator. Changes of the state of the process are undone.
    """
    stack, threads = ExitStack(), int(job.spec["threads"])  # in the spec: sums depend on it
    stack.enter_context(component_runs())
    stack.enter_context(threadpool_limits(threads))
    torch.set_num_threads(threads)
    stack.enter_context(exact(job.spec["device"]))
    stack.enter_context(precision(PRECISIONS[job.spec.get("precision", SINGLE)]))
    torch.default_generator.manual_seed(seeds.seed(job.identity))
    return stack


def _sidecar(job: Job, place: Place, seconds: float) -> dict[str, Any]:
    """Return facts about the making of a cell that are no part of its content."""
    return {
        "code": dict(place.code),
        "versions": dict(job.code.versions),
        "machine": {"host": platform.node(), **provenance.machine(job.spec["device"])},
        "seed": seeds.seed(job.identity),
        "seconds": round(seconds, 3),
        "peak_memory_mib": provenance.peak(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
