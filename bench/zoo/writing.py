"""Write the models of the finished cells of a suite as a zoo."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from importlib import metadata
from itertools import count
from pathlib import Path

import torch

from evil_twins.attacks.models import PairedModels
from evil_twins.bench.cells.durability import Case, accuracy
from evil_twins.bench.cells.execute import Job, isolated
from evil_twins.bench.cells.stored import VictimPlace, cached_victim
from evil_twins.bench.cells.work import Work
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.course import job_of
from evil_twins.bench.run.shards import Shard
from evil_twins.bench.run.state import State
from evil_twins.bench.run.workspace import Workspace
from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.checksums import MODELS, VICTIM, checksum
from evil_twins.bench.store.folders import writable_folder
from evil_twins.bench.subjects.data import drawn
from evil_twins.bench.zoo.manifest import FORMAT, NAME, Data, Effect, Manifest, Model, Row, Victim
from evil_twins.bench.zoo.specimen import Specimen

LETTERS = {"κ": "kappa", "φ": "phi", "λ": "lambda"}


def write(workspace: Workspace, state: State, folder: Path) -> Manifest:
    """Write victims and models of the stored cells of a suite, with the manifest.

    Args:
        workspace: The suite.
        state: The state of its cells; those that are not stored are skipped.
        folder: The folder of the zoo, which is made.

    Raises:
        UserError: The folder holds files, the victim's network is not of this project, or no
            poisoned model is stored.
    """
    suite, data = workspace.suite, workspace.data
    if suite.network is not None:
        raise UserError(
            f"{suite.name}: a zoo holds networks of this project, not {suite.network.name}",
            "remedy: a suite whose `architecture` is one of `evil-twins list`",
        )
    shards = list(_stored(workspace, state))
    if not any(_row(shard).poisoned for shard in shards):
        raise UserError(
            f"no poisoned model of {suite.name} is stored in {workspace.store.root}",
            "remedy: `evil-twins run` first, without --drop-models",
        )
    place = writable_folder(folder)
    if any(place.iterdir()):
        raise UserError(
            f"{folder.absolute()} is not empty", "remedy: name a new folder, or remove it"
        )
    victims = dict(_victims(workspace, state, place))
    models = tuple(_models(workspace, state, shards, place, victims))
    titles = {model.row for model in models}
    rows = {shard.row.title: _row(shard) for shard in shards if shard.row.title in titles}
    facts = Data(name=data.name, digest=data.digest, size=suite.size, splits=asdict(suite.splits))
    manifest = Manifest(
        form=FORMAT,
        program=f"evil-twins {metadata.version('evil-twins')}",
        suite=suite.name,
        data=facts,
        precision="float64" if suite.precision == "float64" else "float32",
        verify="evil-twins zoo verify FOLDER",
        victims=tuple(victims.values()),
        rows=rows,
        models=models,
    )
    files.write(place / NAME, place, json_files.encode(manifest.model_dump(mode="json")))
    return manifest


def _stored(workspace: Workspace, state: State) -> Iterator[Shard]:
    """Yield the shards whose attack is stored with models."""
    for shard in workspace.plan.shards:
        if shard.attack in state.content:
            folder = workspace.store.path("attack", state.identity[shard.attack])
            if files.present(folder / MODELS, folder):
                yield shard


def _row(shard: Shard) -> Row:
    row, attack = shard.row, shard.row.attack.build()
    return Row(
        attack=row.label,
        method=row.method,
        parameters=row.attack.spec["parameters"],
        kappa=attack.kappa,
        poisoned=attack.nature.role != "control",
    )


def _victims(workspace: Workspace, state: State, folder: Path) -> Iterator[tuple[int, Victim]]:
    """Copy the stored victims; yield the seed and the entry of each."""
    for draw, (seed, key) in enumerate(workspace.plan.victims.items()):
        if key not in state.content:
            continue
        cell = workspace.store.path("victim", state.identity[key])
        name = f"victims/seed-{seed}.safetensors"
        files.make_folder((folder / name).parent, folder)
        files.copy(cell / VICTIM, cell, folder / name, folder)
        job = job_of(workspace.plan, state, key)
        with isolated(job):
            place = VictimPlace(cell, torch.device(job.spec["device"]))
            heldout = drawn(workspace.data, draw).heldout
            right = accuracy(PairedModels(cached_victim(place), 1, {}), heldout, lambda x: x)
        effect = Effect(accuracy=float(right))
        digest = checksum(folder / name, folder)
        yield seed, Victim(file=name, sha256=digest, seed=seed, draw=draw, effect=effect)


def _models(
    workspace: Workspace,
    state: State,
    shards: Iterable[Shard],
    folder: Path,
    victims: Mapping[int, Victim],
) -> Iterator[Model]:
    """Store the models of shards; yield their entries."""
    numbers = count()
    for shard in shards:
        job = job_of(workspace.plan, state, shard.attack)
        with isolated(job):
            work = _work(workspace, job)
            heldout, features = work.dataset.heldout, work.features("heldout")
            for targets, specimen in _specimens(work):
                ending = f"{slug(shard.row.title)}-seed-{shard.seed}.safetensors"
                name = f"models/{next(numbers):04d}-{ending}"
                files.make_folder((folder / name).parent, folder)
                specimen.save(folder / name)
                yield Model(
                    file=name,
                    sha256=checksum(folder / name, folder),
                    victim=victims[shard.seed].file,
                    row=shard.row.title,
                    layers="head" if specimen.models.layers == "head" else "all",
                    targets=targets,
                    effect=specimen.effect(heldout, features),
                )


def _specimens(work: Work) -> Iterator[tuple[tuple[str, ...], Specimen]]:
    """Yield each changed model of an attack cell, with the names of its targets."""
    case = Case.of(work)
    for i in range(len(case.models)):
        members, stamp = (case.place == i).nonzero().flatten(), case.stamp
        if stamp is not None:
            stamp = stamp.rows(members[:1] // (len(case.x) // len(stamp)))
        model, goal = case.models.rows(torch.tensor([i])), case.goal[members]
        names = tuple(case.ids[k] for k in members.tolist())
        yield names, Specimen(model, case.x[members], goal, stamp)


def _work(workspace: Workspace, job: Job) -> Work:
    """Return an attack cell with itself as a parent, from which its results are read."""
    store = workspace.store
    parents = {role: store.path(*parent[:2]) for role, parent in job.parents.items()}
    folder = store.path(job.kind, job.identity)
    root = workspace.folders.data
    return Work(job.spec, job.label, job.component, parents | {job.kind: folder}, folder, root)


def slug(title: str) -> str:
    """Return the title of a row as the name of a file: "imc κ=0.75" becomes "imc-kappa=0.75"."""
    for letter, name in LETTERS.items():
        title = title.replace(letter, name)
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", title)[:120]
