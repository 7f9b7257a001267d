"""The clauses on the meaning of a detector's scores: its knowledge, and the inputs it flags."""

import numpy as np
import torch

from evil_twins.bench.analysis import stats
from evil_twins.bench.components.process_state import same
from evil_twins.bench.contract.cases import DetectorCase
from evil_twins.bench.contract.clause import Broken, Doubtful, clause
from evil_twins.bench.contract.detectors import SOUND, scored

ALPHA = 0.05
COARSE = 5
"""Largest number of different benign scores that are decisions rather than scores."""

UNLIKELY = 1e-3
"""Probability below which false alarms are not due to chance."""


@clause(
    'set knowledge = "K1" if it uses view.benign or a preparation, and knowledge = "K0" if not',
    after=("seeded",),
)
def knowledge(case: DetectorCase) -> None:
    """It uses the knowledge that it states: K0 the faced model, K1 clean data as well."""
    detector, world = case.detector, case.world
    if detector.knowledge == "K0" and detector.preparation is not None:
        raise Broken("it states K0, and has a preparation, which is trained on clean data")
    if detector.knowledge not in ("K0", "K1"):
        return
    model = world.models[0]
    x = torch.cat([case.sample, *(a.x for a in world.attacks if a.model is model)])
    other = case.fit(model, case.defender_on(world.other, case.prepare(world.other)))
    equal = same(scored(other, x), scored(case.fit(model), x))
    if detector.knowledge == "K0" and not equal:
        raise Broken(
            "as K0 it knows only the faced model, and its scores change with other clean data"
        )
    if detector.knowledge == "K1" and equal:
        raise Doubtful(
            "as K1 it may use clean data, and its scores are the same with other clean data"
        )


@clause(
    "return the number that it decides by, before any threshold or rounding of its own",
    after=("seeded",),
)
def flags(case: DetectorCase) -> None:
    """At a threshold for 5 % of benign images it flags something, and not everything."""
    model, fresh = case.world.models[0], case.world.fresh
    scorer = case.fit(model)
    calibration, others = (scored(scorer, images).numpy() for images in (fresh[::2], fresh[1::2]))
    attacked = [scored(case.fit(m.model), m.x).numpy() for m in case.world.attacks]
    values = np.concatenate([calibration, others, *attacked])
    if (values == values[0]).all():
        raise Broken(
            f"it gave {values[0]:.6g} to each of {len(values)} inputs: it can flag nothing"
        )
    rule = stats.threshold(calibration, ALPHA)
    alarms, count = int((others > rule.value).sum()), len(others)
    if stats.fpr_test(alarms, count, rule) < UNLIKELY and alarms > count // 2:
        raise Broken(f"with a threshold for 5 % it flags {alarms} of {count} other benign images")
    if (distinct := len(np.unique(values))) <= COARSE:
        raise Doubtful(f"it gave {distinct} values to {len(values)} inputs: it decides by itself")
    if rule.ties > 1:
        raise Doubtful(f"{rule.ties} of {rule.n} benign scores equal the threshold for 5 %")


@clause("return the negative score, if a low one is the suspicious one", after=("seeded",))
def direction(case: DetectorCase) -> None:
    """Higher means more suspicious."""
    wins: dict[str, list[float]] = {}
    for inputs in case.world.attacks:
        scorer = case.fit(inputs.model)
        benign = scored(scorer, case.world.fresh[:40]).numpy()
        for score in scored(scorer, inputs.x).numpy():
            win = (score > benign).mean() + (score == benign).mean() / 2
            wins.setdefault(inputs.name, []).append(float(win))
    areas = {name: float(np.mean(values)) for name, values in wins.items()}
    if areas and max(areas.values()) < 0.5:
        text = ", ".join(f"{name} {area:.2f}" for name, area in areas.items())
        raise Doubtful(f"attacked inputs score lower than benign ones: AUROC {text}")


DETECTOR = (*SOUND, knowledge, flags, direction)
