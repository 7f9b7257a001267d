"""Run cells in a worker: only specs come in, only what became of them goes out."""

import platform
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from evil_twins.bench.cells import attack, evade, fit, score, seeds, victim
from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.cells.work import Work
from evil_twins.bench.components.component import Component
from evil_twins.bench.components.source_code import Code, code_of
from evil_twins.bench.errors import Fault, UserError
from evil_twins.bench.store import provenance
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.checksums import verify as verify_cell

KINDS = {"victim": victim.run, "fit": fit.run, "attack": attack.run, "score": score.run}


@dataclass(frozen=True)
class Job:
    """One cell to run, with its identity.

    Attributes:
        kind: Of the cell.
        identity: Of the cell.
        title: What people call it.
        label: What the suite calls its component.
        component: The attack or detector, or None.
        spec: What decides what it leaves.
        source: SHA-256 of the code that it stands on.
        parents: Role -> (kind, identity, content hash) of a finished cell.
        evade: The detectors that the attack evades.
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

    @property
    def code(self) -> Code:
        """The code that it would run here and now."""
        return code_of(self.kind, *([self.component] if self.component else []), *self.evade)

    @property
    def threads(self) -> int:
        """On how many it computes: part of its spec, as sums depend on it."""
        return int(self.spec["threads"])


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: its content hash, or the reason why it failed; and how long it took.

    Attributes:
        identity: Of the cell.
        content: Its content hash, or None.
        reason: Why it failed, or nothing.
        seconds: From its start to its end, NaN if it could not tell.
    """

    identity: str
    content: str | None
    reason: str = ""
    seconds: float = nan


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes.

    Attributes:
        store: Finished cells.
        data: Where data sets lie, or None for the default place.
        code: Version of the code, for the sidecars.
        weights: The file of a victim that is not trained, if there is one.
    """

    store: Store
    data: Path | None
    code: Mapping[str, Any]
    weights: Path | None = None

    def lost(self, job: Job, why: str) -> Outcome:
        """The outcome of a cell that could not tell its own: its record is left here.

        A cell that was finished nevertheless, before its worker was lost, stays finished.
        """
        content = self.store.find(job.kind, job.identity)
        if content is None or self.store.lacks_models(job.kind, job.identity):
            content = None
            self.store.fail(job.kind, job.identity, job.title, why, f"{why}\n")
        return Outcome(job.identity, content, why)


def execute(place: Place, job: Job) -> Outcome:
    """Run a cell; whatever it raises is the reason in its record."""
    start = time.perf_counter()
    provenance.forget_peak()
    try:
        folder = place.store.begin(job.kind, job.identity)
        compute(place, job, folder)
        facts = {"title": job.title, "spec": job.spec, "parents": job.parents}
        facts["versions"] = dict(job.code.versions)
        seconds = time.perf_counter() - start
        sidecar = sidecar_of(job, place, seconds)
        content = place.store.commit(job.kind, job.identity, folder, facts, sidecar)
    except BaseException as error:  # SystemExit of a component, or a panic in native code
        if isinstance(error, KeyboardInterrupt):
            raise
        why = reason(error)
        place.store.fail(job.kind, job.identity, job.title, why, traceback.format_exc())
        return Outcome(job.identity, None, why, time.perf_counter() - start)
    finally:
        place.store.discard(job.kind, job.identity)
    return Outcome(job.identity, content, seconds=seconds)


def compute(place: Place, job: Job, folder: Path) -> None:
    """What a cell leaves, into a folder; its parents are checked first.

    Raises:
        Fault: A parent is damaged, the code is not that of the plan, or what a component returned
            is not sound.
    """
    parents = {role: place.store.path(*parent[:2]) for role, parent in job.parents.items()}
    for role, (_, _, content) in job.parents.items():
        if verify_cell(parents[role]) != content:
            raise Fault(f"{parents[role]} has changed during the run; run again")
    own = (job.spec, job.label, job.component, parents, folder)
    work = Work(*own, place.data, place.weights, job.evade)
    _unchanged(job)
    with alone(job):
        (evade.run if job.evade else KINDS[job.kind])(work)
    _unchanged(job)


def _unchanged(job: Job) -> None:
    """See that a cell computes what its identity says, though files may be edited meanwhile."""
    if job.code.digest != job.source:
        raise Fault(
            f"the code of {job.label!r} is not that of the plan: it has changed during the run, or "
            "another version is installed here; run again"
        )


def alone(job: Job) -> ExitStack:
    """The threads of the suite, exact arithmetic, and random numbers that depend on the cell alone.

    So a cell leaves the same bytes wherever and beside whatever it runs, even if a component draws
    from the global generator.
    """
    stack = ExitStack()
    stack.enter_context(threadpool_limits(job.threads))
    threads = torch.get_num_threads()
    stack.callback(torch.set_num_threads, threads)
    torch.set_num_threads(job.threads)
    stack.enter_context(exact(job.spec["device"]))
    stack.enter_context(torch.random.fork_rng(devices=[]))
    torch.default_generator.manual_seed(seeds.seed(job.identity))
    return stack


def reason(error: BaseException) -> str:
    """Why a cell failed, in one line."""
    said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    if isinstance(error, Fault | UserError):
        return said
    return f"{type(error).__name__}: {said}"[:300]


def sidecar_of(job: Job, place: Place, seconds: float) -> dict[str, Any]:
    """What is worth knowing about a cell and is no part of its content."""
    return {
        "code": dict(place.code),
        "versions": dict(job.code.versions),
        "machine": {"host": platform.node(), **provenance.machine(job.spec["device"])},
        "seed": seeds.seed(job.identity),
        "seconds": round(seconds, 3),
        "peak_memory_mib": provenance.peak(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
