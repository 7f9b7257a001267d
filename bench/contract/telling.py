"""The clauses on what a detector's scores tell: what it knows, and what it can flag."""

import copy

import numpy as np
import torch

from evil_twins.bench.analysis import stats
from evil_twins.bench.contract.clause import Broken, Clause, Doubtful
from evil_twins.bench.contract.detectors import SOUND, DetectorCase, scored
from evil_twins.bench.contract.state import same

ALPHA = 0.05
COARSE = 5
"""So many values among benign images, or fewer, are decisions rather than scores."""

UNLIKELY = 1e-3
"""A chance below which false alarms are no bad luck."""


def knowledge(case: DetectorCase) -> None:
    """What it says that it knows is what it uses."""
    own, world = case.detector, case.world
    if own.knowledge == "K0" and own.preparation is not None:
        raise Broken("it states K0, and has a preparation, which is trained on clean data")
    if own.knowledge not in ("K0", "K1"):
        return
    model = world.models[0]
    x = torch.cat([case.some, *(one.x for one in world.attacks if one.model is model)])
    other = case.view(copy.deepcopy(model), world.other, case.prepare(world.other))
    equal = same(scored(own.fit(other), x), scored(case.fit(model), x))
    if own.knowledge == "K0" and not equal:
        raise Broken(
            "as K0 it looks at the faced model alone, and it scores otherwise with other clean data"
        )
    if own.knowledge == "K1" and equal:
        raise Doubtful("as K1 it may use clean data, and it scores the same with other clean data")


def flags(case: DetectorCase) -> None:
    """At the threshold that the harness sets it flags some inputs, and not all."""
    model, fresh = case.world.models[0], case.world.fresh
    scorer = case.fit(model)
    usual, others = (scored(scorer, some).numpy() for some in (fresh[::2], fresh[1::2]))
    attacked = np.concatenate([scored(case.fit(m.model), m.x).numpy() for m in case.world.attacks])
    both = np.concatenate([usual, others, attacked])
    if (both == both[0]).all():
        raise Broken(f"it gave {both[0]:.6g} to each of {len(both)} inputs: it can flag nothing")
    rule = stats.threshold(usual, ALPHA)
    alarms, count = int((others > rule.value).sum()), len(others)
    if stats.fpr_test(alarms, count, rule) < UNLIKELY and alarms > count // 2:
        raise Broken(f"with a threshold for 5 % it flags {alarms} of {count} other benign images")
    if (values := len(np.unique(both))) <= COARSE:
        raise Doubtful(f"it gave {values} values to {len(both)} inputs: it decides by itself")
    if rule.ties > 1:
        raise Doubtful(f"{rule.ties} of {rule.n} benign scores equal the threshold for 5 %")


def direction(case: DetectorCase) -> None:
    """Attacked inputs score higher than benign ones, under one attack at least."""
    found: dict[str, list[float]] = {}
    for inputs in case.world.attacks:
        scorer = case.fit(inputs.model)
        benign = scored(scorer, case.world.fresh[:40]).numpy()
        wins = [
            (score > benign).mean() + (score == benign).mean() / 2
            for score in scored(scorer, inputs.x).numpy()
        ]
        found.setdefault(inputs.name, []).extend(float(win) for win in wins)
    areas = {name: float(np.mean(wins)) for name, wins in found.items()}
    if areas and max(areas.values()) < 0.5:
        said = ", ".join(f"{name} {area:.2f}" for name, area in areas.items())
        raise Doubtful(f"attacked inputs score lower than benign ones: AUROC {said}")


DETECTOR = (
    *SOUND,
    Clause(
        "it knows what it states: K0 the faced model, K1 clean data as well",
        'set knowledge = "K1" if it uses view.benign or a preparation, and knowledge = "K0" if not',
        knowledge,
    ),
    Clause(
        "at a threshold for 5 % of benign images it flags something, and not everything",
        "return the number that it decides by, before any threshold or rounding of its own",
        flags,
    ),
    Clause(
        "higher means more suspicious",
        "return the negative score, if a low one is the suspicious one",
        direction,
    ),
)
