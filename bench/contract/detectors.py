"""The clauses that a detector must keep for scores of any meaning."""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields

import torch
from torch import Tensor

from evil_twins.bench.cells import fitting
from evil_twins.bench.components.process_state import DRAWN, Globals, same
from evil_twins.bench.contract.cases import DetectorCase
from evil_twins.bench.contract.clause import Broken, Doubtful, clause, refuse_loose
from evil_twins.bench.contract.state import changes, snapshot, stir
from evil_twins.bench.errors import Fault
from evil_twins.detectors.base import DefenderView, Detailed, Scorer

ROUNDING, ROUNDING_64 = 1e-3, 1e-6
"""Allowed rounding in float32 and in float64, as a share of a score or of the spread of scores."""

DRAWS = "draw from view.generator, which a class with fit(view) is given, and nothing afterwards"


def scored(scorer: Scorer, x: Tensor) -> Tensor:
    """Return the checked scores (N,) float64 of a copy of images."""
    return fitting.scores(scorer, x, "the scorer")


@clause(
    "fix its exception; score(model, x), or the result of fit(view), gets images (N, C, H, W)",
)
def runs(case: DetectorCase) -> None:
    """It can be fitted, and scores images."""
    try:
        defender = case.defender
    except Fault:  # the clause `prepares` judges the preparation
        return
    try:
        scorer = case.fit(case.world.models[0], defender)
        with suppress(Fault):  # the clause `numbers` judges the scores
            scorer(case.sample.clone())
    except AttributeError as error:
        if not isinstance(error.obj, DefenderView):
            raise
        names = ", ".join(field.name for field in fields(DefenderView))
        raise Broken(
            f"a view has no {error.name!r}: it holds {names}",
            "clean images are view.benign, without labels; as K2 or K3 it gets view.trusted",
        ) from error


@clause("write @dataclass(frozen=True) above it, and keep learned values in the scorer")
def frozen(case: DetectorCase) -> None:
    """It is a frozen dataclass whose fields are its parameters."""
    refuse_loose(case.detector)


@clause("return tensors by name; draw from the generator that it is given")
def prepares(case: DetectorCase) -> None:
    """Its preparation returns a dict of finite tensors, fixed by clean data and seed."""
    first, benign = case.prepared, case.world.benign.clone()
    stir(1)
    before = Globals.now()
    second = case.prepare(case.world.benign)
    for name, value in first.items():
        if not same(value, second.get(name)):
            raise Broken(f"the same seed gave another {name!r} the second time")
    if changed := before.changed():
        raise Broken(f"it changed {', '.join(changed)}")
    if not same(benign, case.world.benign):
        raise Broken("it changed the clean data")


@clause(
    "return one tensor, as torch.as_tensor(values).double().flatten(), and no NaN or infinity",
    after=("runs", "prepares"),
)
def numbers(case: DetectorCase) -> None:
    """Scores are finite numbers, one an image, in float32 or float64, where the images are."""
    graph = False
    for model in case.world.models:
        scorer = case.fit(model)
        for x in (case.sample, case.sample[:1]):
            scored(scorer, x)
            score = scorer(x.clone())
            if score.dtype not in (torch.float32, torch.float64):
                raise Broken(f"the scores are {score.dtype}; float32 or float64 was expected")
            if score.device != x.device:
                raise Broken(f"the scores lie on {score.device}, the images on {x.device}")
            graph |= score.requires_grad
        fitting.details(scorer, case.sample, "the scorer")
    if graph:
        raise Doubtful("the scores carry the graph of their gradients, and so its memory")


@clause(f"{DRAWS}: keep the drawn numbers", after=("numbers", "untouched"))
def seeded(case: DetectorCase) -> None:
    """The same seed gives the same scores, again and again."""
    scores = []
    for seed in (1, 2):
        stir(seed)
        scorer = case.fit(case.world.models[0])
        scores += [scored(scorer, case.sample), scored(scorer, case.sample)]
    if not same(scores[0], scores[1]):
        raise Broken(f"in two calls one scorer gave {_unlike(scores[0], scores[1])}")
    if not same(scores[0], scores[2]):
        raise Broken(f"fitted twice with one seed, it gave {_unlike(scores[0], scores[2])}")


@clause(
    "take means, ranks and scales from view.benign in `fit`, never from the call", after=("seeded",)
)
def independent(case: DetectorCase) -> None:
    """A score depends only on its own image, and by rounding on the others of the call."""
    model = case.world.models[0]
    try:  # in float64, rounding is small compared with any real dependence
        share, x = ROUNDING_64, case.sample.double()
        prepared = {k: v.double() if v.is_floating_point() else v for k, v in case.prepared.items()}
        defender = case.defender_on(case.world.benign.double(), prepared)
        scorer = case.fit_in_place(copy.deepcopy(model).double(), defender)
        together = scored(scorer, x)
    except Exception:
        share, x = ROUNDING, case.sample
        scorer = case.fit(model)
        together = scored(scorer, x)
    single = torch.cat([scored(scorer, image) for image in x.split(1)])
    if not _close(single, together, share):
        raise Broken(f"by itself and among {len(x)} images it gave {_unlike(single, together)}")
    turned = scored(scorer, x.flip(0)).flip(0)
    if not _close(turned, together, share):
        raise Broken(f"at another place in the call it gave {_unlike(turned, together)}")


@clause(
    "keep nothing by the identity of a model: its weights change in place between two fits",
    after=("seeded",),
)
def anew(case: DetectorCase) -> None:
    """A fit depends on the weights that it is given, on no earlier fit."""
    first, second = case.world.models[:2]
    module = copy.deepcopy(first)
    scored(case.fit_in_place(module), case.sample)
    with torch.no_grad():
        module.load_state_dict(second.state_dict())
    again = scored(case.fit_in_place(module), case.sample)
    direct = scored(case.fit(second), case.sample)
    if not _close(again, direct, ROUNDING):
        raise Broken(f"after a fit to other weights it gave {_unlike(again, direct)}")


@clause(
    "work on copies (`.clone()`, copy.deepcopy) and set back what you set; remove your hooks",
    after=("runs", "prepares"),
)
def untouched(case: DetectorCase) -> None:
    """Model, images, clean data and the state of the process stay as they are."""
    x = case.sample.clone()

    def use(view: DefenderView) -> None:
        scorer = case.detector.fit(view)
        with suppress(Fault):  # the clause `numbers` judges the scores
            scorer(x)
        if isinstance(scorer, Detailed):
            scorer.details(x)

    if changed := changed_by(case, use, {"the images": x}):
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        drawn = all(name in DRAWN for name in changed)
        raise Broken(f"it changed {', '.join(changed[:3])}{more}", DRAWS if drawn else "")


def changed_by(
    case: DetectorCase, use: Callable[[DefenderView], object], tensors: dict[str, Tensor]
) -> list[str]:
    """Name the changes by a use of the detector: of its view, of tensors, of the process."""
    model = copy.deepcopy(case.world.models[1])
    view = case.view(model)
    tensors = tensors | {"the clean data": view.benign}
    tensors |= {f"the prepared {name}": value for name, value in view.prepared.items()}
    if view.trusted is not None:
        weights = view.trusted.state_dict().items()
        tensors |= {f"the trusted model's {name}": value for name, value in weights}
    before, process = snapshot(model, tensors), Globals.now()
    twin = copy.deepcopy(case.detector)
    use(view)
    changed = changes(before, snapshot(model, tensors)) + process.changed()
    return changed if case.detector == twin else [*changed, "its own parameters"]


def _close(first: Tensor, second: Tensor, share: float) -> bool:
    spread = float(second.std()) if len(second) > 1 else 0.0
    return torch.allclose(first, second, rtol=share, atol=share * spread + 1e-9)


def _unlike(first: Tensor, second: Tensor) -> str:
    worst = int((first - second).abs().argmax())
    return f"{float(first[worst]):.6g} and {float(second[worst]):.6g} for one image"


SOUND = (runs, frozen, prepares, numbers, untouched, seeded, independent, anew)
