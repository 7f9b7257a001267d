"""The clauses that a detector must keep."""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from evil_twins.bench.components import returned
from evil_twins.bench.contract.clause import Broken, Clause, Doubtful, refuse_loose
from evil_twins.bench.contract.state import DRAWN, Globals, differing, picture, same, stir
from evil_twins.bench.contract.worlds import World
from evil_twins.bench.errors import Fault
from evil_twins.detectors.base import DefenderView, Detailed

SOME = 16
"""Images of a call, where more would show no more."""

NEAR, NEARER = 1e-3, 1e-6
"""What passes for rounding, as a share of a score or of the spread of scores: in float32, and in
float64."""

OWN_DRAWS = (
    "draw from view.generator, which a class with fit(view) is given, and nothing afterwards"
)

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class DetectorCase:
    """A detector and the world in which it is looked at.

    Attributes:
        detector: The detector.
        world: The world.
    """

    detector: Any
    world: World

    @cached_property
    def prepared(self) -> dict[str, Tensor]:
        """What the preparation returns on the clean data; empty without one."""
        return self.prepare(self.world.benign)

    def prepare(self, benign: Tensor) -> dict[str, Tensor]:
        """What the preparation returns on images (M, C, H, W)."""
        preparation = self.detector.preparation
        made = {} if preparation is None else preparation(benign.clone(), _drawn(9))
        if not isinstance(made, dict) or not all(isinstance(v, Tensor) for v in made.values()):
            raise Broken(f"it returned {type(made).__name__}; a dict of tensors was expected")
        return made

    def view(self, model: nn.Module, benign: Tensor, prepared: dict[str, Tensor]) -> DefenderView:
        """A view on this very model, else of copies; its generator is seeded alike every time."""
        held = {name: value.clone() for name, value in prepared.items()}
        trusted = copy.deepcopy(self.world.trusted.get(self.detector.knowledge))
        if trusted is not None:
            trusted = trusted.to(benign.dtype)
        return DefenderView(model, benign.clone(), _drawn(5), held, trusted)

    def fit(self, model: nn.Module) -> Any:
        """A scorer for a copy of a faced model."""
        return self.fit_to(copy.deepcopy(model))

    def fit_to(self, model: nn.Module) -> Any:
        """A scorer for this very model."""
        return self.detector.fit(self.view(model, self.world.benign, self.prepared))

    @property
    def some(self) -> Tensor:
        """Benign images of one call."""
        return self.world.fresh[:SOME]


def _drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scored(scorer: Score, x: Tensor) -> Tensor:
    """Scores (N,) float64 of images, checked; the scorer gets a copy."""
    return returned.numbers(scorer(x.clone()), len(x), "the scorer")


def runs(case: DetectorCase) -> None:
    """It gets through what a suite asks of it, whatever it returns."""
    try:
        with suppress(Fault):  # what it returns is looked at by the clauses that follow
            case.fit(case.world.models[0])(case.some.clone())
    except AttributeError as error:
        if not isinstance(error.obj, DefenderView):
            raise
        held = ", ".join(field.name for field in fields(DefenderView))
        raise Broken(
            f"a view has no {error.name!r}: it holds {held}",
            "clean images are view.benign, without labels; as K2 or K3 it gets view.trusted",
        ) from error


def frozen(case: DetectorCase) -> None:
    """Parameters are data that nothing changes."""
    refuse_loose(case.detector)


def prepares(case: DetectorCase) -> None:
    """The preparation is a function of the clean data and the seed."""
    first, benign = case.prepared, case.world.benign.clone()
    stir(1)
    before = Globals.now()
    second = case.prepare(case.world.benign)
    for name, value in first.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise Broken(f"it returned NaN or infinite values in {name!r}")
        if not same(value, second.get(name)):
            raise Broken(f"the same seed gave another {name!r} the second time")
    if changed := before.changed():
        raise Broken(f"it changed {', '.join(changed)}")
    if not same(benign, case.world.benign):
        raise Broken("it changed the clean data")


def numbers(case: DetectorCase) -> None:
    """One sound number an image, under every faced model, for many images and for one."""
    graph = False
    for model in case.world.models:
        scorer = case.fit(model)
        for x in (case.some, case.some[:1]):
            scored(scorer, x)
            score = scorer(x.clone())
            if score.dtype not in (torch.float32, torch.float64):
                raise Broken(f"the scores are {score.dtype}; float32 or float64 was expected")
            if score.device != x.device:
                raise Broken(f"the scores lie on {score.device}, the images on {x.device}")
            graph |= score.requires_grad
        if isinstance(scorer, Detailed):
            for name, value in scorer.details(case.some.clone()).items():
                returned.numbers(value, len(case.some), f"detail {name!r}")
    if graph:
        raise Doubtful("the scores carry the graph of their gradients, and so its memory")


def seeded(case: DetectorCase) -> None:
    """Chance comes from the view's generator alone."""
    found = []
    for seed in (1, 2):
        stir(seed)
        scorer = case.fit(case.world.models[0])
        found += [scored(scorer, case.some), scored(scorer, case.some)]
    if not same(found[0], found[1]):
        raise Broken(f"asked twice, one scorer gave {_unlike(found[0], found[1])}")
    if not same(found[0], found[2]):
        raise Broken(f"fitted twice with one seed, it gave {_unlike(found[0], found[2])}")


def alone(case: DetectorCase) -> None:
    """An image's score depends neither on the other images of the call nor on its place."""
    try:  # in float64, rounding is small beside any real dependence
        near, x = NEARER, case.some.double()
        scorer = case.detector.fit(_double(case))
        whole = scored(scorer, x)
    except Exception:
        near, x = NEAR, case.some
        scorer = case.fit(case.world.models[0])
        whole = scored(scorer, x)
    single = torch.cat([scored(scorer, image) for image in x.split(1)])
    if not _near(single, whole, near):
        raise Broken(f"alone and among {len(x)} images it gave {_unlike(single, whole)}")
    turned = scored(scorer, x.flip(0)).flip(0)
    if not _near(turned, whole, near):
        raise Broken(f"at another place in the call it gave {_unlike(turned, whole)}")


def _double(case: DetectorCase) -> DefenderView:
    """The view on the first faced model in float64."""
    model = copy.deepcopy(case.world.models[0]).double()
    prepared = {k: v.double() if v.is_floating_point() else v for k, v in case.prepared.items()}
    return case.view(model, case.world.benign.double(), prepared)


def anew(case: DetectorCase) -> None:
    """Every fit looks at the weights that the module holds then."""
    first, second = case.world.models[:2]
    module = copy.deepcopy(first)
    scored(case.fit_to(module), case.some)
    with torch.no_grad():
        module.load_state_dict(second.state_dict())
    again, direct = scored(case.fit_to(module), case.some), scored(case.fit(second), case.some)
    if not _near(again, direct, NEAR):
        raise Broken(f"after a fit to other weights it gave {_unlike(again, direct)}")


def untouched(case: DetectorCase) -> None:
    """Fitting and scoring leave everything outside as it was."""
    model, x = copy.deepcopy(case.world.models[1]), case.some.clone()
    view = case.view(model, case.world.benign, case.prepared)
    given = {"the images": x, "the clean data": view.benign}
    given |= {f"the prepared {name}": value for name, value in view.prepared.items()}
    if view.trusted is not None:
        weights = view.trusted.state_dict().items()
        given |= {f"the trusted model's {name}": value for name, value in weights}
    shown, before, twin = picture(model, given), Globals.now(), copy.deepcopy(case.detector)
    scorer = case.detector.fit(view)
    scorer(x)
    if isinstance(scorer, Detailed):
        scorer.details(x)
    changed = differing(shown, picture(model, given)) + before.changed()
    if case.detector != twin:
        changed.append("its own parameters")
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        drawn = all(name in DRAWN for name in changed)
        raise Broken(f"it changed {', '.join(changed[:3])}{more}", OWN_DRAWS if drawn else "")


def _near(first: Tensor, second: Tensor, share: float) -> bool:
    spread = float(second.std()) if len(second) > 1 else 0.0
    return torch.allclose(first, second, rtol=share, atol=share * spread + 1e-9)


def _unlike(first: Tensor, second: Tensor) -> str:
    """The scores that differ most, in words."""
    worst = int((first - second).abs().argmax())
    return f"{float(first[worst]):.6g} and {float(second[worst]):.6g} for one image"


SOUND = (
    Clause(
        "it can be fitted, and scores images",
        "mend what it raises; score(model, x), or what fit(view) returns, gets images (N, C, H, W)",
        runs,
        basis=True,
    ),
    Clause(
        "it is a frozen dataclass whose fields are its parameters",
        "write @dataclass(frozen=True) above it, and keep what it learns in the scorer",
        frozen,
    ),
    Clause(
        "its preparation returns a dict of finite tensors, by the clean data and the seed alone",
        "return tensors by name; draw from the generator that it is given",
        prepares,
        basis=True,
    ),
    Clause(
        "scores are finite numbers, one an image, in float32 or float64, where the images are",
        "return one tensor, as torch.as_tensor(values).double().flatten(), and no NaN or infinity",
        numbers,
        basis=True,
    ),
    Clause(
        "model, images, clean data and the state of the process stay as they are",
        "work on copies (`.clone()`, copy.deepcopy) and set back what you set; remove your hooks",
        untouched,
        basis=True,
    ),
    Clause(
        "the same seed gives the same scores, again and again",
        f"{OWN_DRAWS}: keep what was drawn",
        seeded,
        basis=True,
    ),
    Clause(
        "a score depends on its own image alone, by rounding on the others of the call",
        "take means, ranks and scales from view.benign in `fit`, never from the call",
        alone,
    ),
    Clause(
        "a fit depends on the weights that it is given, on no earlier fit",
        "keep nothing by the identity of a model: its weights change in place between two fits",
        anew,
    ),
)
