"""The clauses on the attacks and the detectors of a suite that a victim can have."""

from collections.abc import Mapping

import torch

from evil_twins.bench.cells import fitting
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.contract.clause import Doubtful, Inapplicable, clause
from evil_twins.bench.contract.victims.case import ModelCase, broken
from evil_twins.bench.contract.victims.parts import LATER
from evil_twins.bench.errors import UserError, reason
from evil_twins.bench.run.data_size import check_splits
from evil_twins.bench.run.network_fit import immovable
from evil_twins.bench.suite.columns import Column
from evil_twins.detectors.base import Contrasting

CLEAN = 64
"""Clean images on which detectors are tried."""

SECOND = "needs a second victim, and weights have no second training"


@clause("take targets.count and [splits] of the suite that fit the data", after=("loads",))
def enough_images(case: ModelCase) -> str:
    """The data has images enough for the suite."""
    if case.dataset is None:
        raise Inapplicable(f"no data in splits is given; remedy: {case.data_option}")
    try:
        check_splits(case.suite, case.dataset)
    except UserError as error:
        fault = broken(error)
        raise Doubtful(str(fault), fault.remedy) from error
    return f"{case.suite.targets.count} targets of {len(case.dataset.split(_list(case)))}"


def _list(case: ModelCase) -> str:
    return case.suite.targets.list


@clause("remove these attacks from the suite", after=LATER)
def attacks(case: ModelCase) -> str:
    """It can have the attacks of the suite."""
    reasons = dict[str, str]()
    for row in case.suite.rows:
        attack = row.attack.build()
        if why := immovable(case.victim, attack, case.x):
            reasons[row.label] = f"it {why}"
        elif attack.nature.surrogate and case.origin.trained:
            reasons[row.label] = SECOND
    labels = list(dict.fromkeys(row.label for row in case.suite.rows))
    return _summary(case, "attacks", labels, reasons)


@clause("remove these detectors from the suite", after=(*LATER, "responds"))
def detectors(case: ModelCase) -> str:
    """It can have the detectors of the suite."""
    reasons, untried = dict[str, str](), 0
    for column in case.suite.columns:
        if why := _unfit(case, column):
            reasons[column.label] = why
        untried += column.detector.build().preparation is not None
    labels = [column.label for column in case.suite.columns]
    more = f"; {untried} with a preparation are not tried" if untried else ""
    return _summary(case, "detectors", labels, reasons) + more


def _unfit(case: ModelCase, column: Column) -> str:
    """Return why a detector cannot judge the victim, or ""; one without preparation is tried."""
    detector, classes = column.detector.build(), case.victim.classes
    if isinstance(detector, Contrasting) and classes < detector.min_classes:
        return f"needs {detector.min_classes} classes"
    if detector.knowledge == "K2":
        return SECOND if case.origin.trained else ""
    if detector.preparation is not None:
        return ""
    trusted = case.victim if detector.knowledge == "K3" else None
    clean = case.images.take(torch.arange(min(CLEAN, len(case.images)))).x.to(case.device)
    draws = torch.Generator().manual_seed(0)
    defender = Defender(detector, "it", clean, {}, trusted)
    try:
        if column.inspects:
            defender.inspect(case.victim, draws)
        else:
            fitting.scores(defender.fit(case.victim, draws), case.x[:1], "it")
    except Exception as error:  # a user's detector may raise anything
        return reason(error)[:120]
    return ""


def _summary(case: ModelCase, kind: str, labels: list[str], reasons: Mapping[str, str]) -> str:
    """Return the number of rows or columns, if the victim can have each.

    Raises:
        Doubtful: It cannot have some.
    """
    if not reasons:
        return f"all {len(labels)} {kind} of {case.suite.name}"
    groups = dict[str, list[str]]()
    for label, why in reasons.items():
        groups.setdefault(why, []).append(label)
    text = "; ".join(f"{', '.join(names)}: {why}" for why, names in groups.items())
    raise Doubtful(f"{len(labels) - len(reasons)} of {len(labels)} {kind}; not {text}")


ROWS = (enough_images, attacks, detectors)
