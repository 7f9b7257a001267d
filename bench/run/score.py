"""`evil-twins score`: score a user's faced model and images by every detector; attack nothing."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.table import Table
from rich.text import Text
from torch import Tensor

from evil_twins.bench import printable
from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.tables.write import csv
from evil_twins.bench.cells import fitting, seeds
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.components import finite
from evil_twins.bench.components.containment import contained
from evil_twins.bench.components.process_state import Bindings
from evil_twins.bench.errors import Fault, UserError, reason
from evil_twins.bench.run.fork_server import load_libraries
from evil_twins.bench.run.score_request import Benign, Request
from evil_twins.bench.run.screen import errors, print_lines, screen
from evil_twins.bench.store import files
from evil_twins.bench.subjects import inputs
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.tally_words import tally_lines
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.columns import Column
from evil_twins.detectors.base import logits

CHANGED = (
    "not run: a plug-in has changed {} in this process; "
    "remedy: --detectors with a suite without that plug-in"
)
"""The reason of a detector that would compute with what another has changed."""


def score(request: Request, out: Path, device: str) -> int:
    """Score every image by every detector; print and write the results.

    Args:
        request: Models, images and detectors.
        out: The CSV file to write.
        device: "cpu" or "cuda".

    Returns:
        0 if every detector gave its scores, 1 if one failed.

    Raises:
        UserError: A file is missing or damaged, or models and images do not fit.
    """
    load_libraries()  # torch changes some of its names while its parts are loaded
    names = Bindings.now()
    with contained():
        columns = [c for c in suite.load(request.detectors).columns if not c.inspects]
    victim, faced = (model.to(device) for model in request.models())
    images, x, tally = inputs.read(request.inputs, faced.shape)
    benign = request.clean(faced)
    console, failed, parts = errors(), {}, []
    print_lines(console, tally_lines(tally, "inputs"))
    print_lines(console, tally_lines(benign.tally, "clean images"))
    facts = _facts(images, *_logits(request, victim, faced, x))
    benign_logits = _logits(request, victim, faced, benign.calibration)
    prepared: dict[Any, dict[str, Tensor]] = {}
    with files.creating(out, None) as draft:
        draft.touch()  # a place that cannot be written to must fail before the long part
        for column in columns:
            if changed := names.changed():
                failed[column.label] = CHANGED.format(changed[0])
                continue
            with console.status(Text(column.label)):
                try:
                    with contained():
                        defender = _defender(column, victim, benign, prepared)
                        scores = _column(column, defender, faced, benign, x, request.fpr)
                    parts.append(pd.concat([facts, scores], axis=1))
                except Exception as error:  # a user's detector may raise anything
                    failed[column.label] = reason(error)
        lines = pd.concat(parts).sort_index(kind="stable") if parts else facts
        draft.write_bytes(csv(lines, numbers=None))
    if parts:
        screen().print(_printed(lines))
    for line in _notes(lines, *benign_logits, request.fpr):
        printable.say(line)
    print_lines(console, [f"detector {label}: {why}" for label, why in failed.items()])
    printable.say(out)
    return int(bool(failed))


def _logits(
    request: Request, victim: Classifier, faced: Classifier, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the logits (N, K) of images (N, C, H, W) under victim and faced model, on the CPU.

    Raises:
        UserError: Some are not finite.
    """
    x = x.to(victim.head.weight.device)
    try:
        return (
            finite.logits(logits(victim, x), f"{request.victim}: the model").cpu(),
            finite.logits(logits(faced, x), f"{request.faced}: the model").cpu(),
        )
    except Fault as fault:
        raise UserError(str(fault), "remedy: another file of weights, or other images") from fault


def _facts(names: tuple[str, ...], victim: Tensor, faced: Tensor) -> pd.DataFrame:
    """Return the class of each image under both models, and its confidence, from their logits."""
    return pd.DataFrame(
        {
            "image": names,
            "victim": victim.argmax(1),
            "faced": faced.argmax(1),
            "confidence": faced.softmax(1).amax(1),
        }
    )


def _defender(
    column: Column, victim: Classifier, benign: Benign, prepared: dict[Any, dict[str, Tensor]]
) -> Defender:
    """Build a detector with its clean data; `prepared` keeps preparations, which detectors share.

    Raises:
        Fault: It trusts a model of another seed, and there is none.
    """
    detector, device = column.detector.build(), victim.head.weight.device
    if detector.knowledge == "K2":
        raise Fault(
            "as K2 it trusts a model that was trained independently, and none is given; "
            "remedy: --detectors with a suite without it"
        )
    key = detector.preparation
    if key not in prepared:
        draws = seeds.generator(benign.name, "", "preparation", 0)
        prepared[key] = fitting.prepare(key, benign.train.to(device), draws, "it")
    trusted = victim if detector.knowledge == "K3" else None
    return Defender(detector, "it", benign.fit.to(device), prepared[key], trusted)


def _column(
    column: Column, defender: Defender, faced: Classifier, benign: Benign, x: Tensor, fpr: float
) -> pd.DataFrame:
    """Return one line an image: score, p-value and decision of a detector fitted on the model.

    An image on which the detector fails has no score, and its note has the reason.
    """
    scorer = defender.fit(copy.deepcopy(faced), seeds.generator(benign.name, "", "detector", 0))
    device = defender.benign.device
    (values, reasons), (usual, gaps) = (
        fitting.scores_with_gaps(scorer, images.to(device), "it")
        for images in (x, benign.calibration)
    )
    scores, calibration = values.numpy(), usual[usual.isfinite()].numpy()
    rule = stats.threshold(calibration, fpr)
    notes = [rule.note] if rule.note else []
    notes += [f"{len(gaps)} benign images without a score: {why}" for why in [*gaps.values()][:1]]
    note = "; ".join(notes)
    return pd.DataFrame(
        {
            "detector": column.label,
            "knowledge": defender.detector.knowledge,
            "score": scores,
            "p": np.where(np.isnan(scores), np.nan, stats.conformal_p(scores, calibration)),
            "threshold": rule.value,
            "flagged": scores > rule.value,
            "note": [f"no score: {reasons[i]}" if i in reasons else note for i in range(len(x))],
        }
    )


def _printed(lines: pd.DataFrame) -> Table:
    """Return a table of one line an image and detector, without repetitions of the line above."""
    table = Table(box=None, pad_edge=False)
    for name in ("image", "victim", "faced", "confidence", "detector", "score", "p", "flagged"):
        table.add_column(name, justify="left" if name in ("image", "detector") else "right")
    above = ""
    for line in lines.to_dict("records"):
        image = line["image"], line["victim"], line["faced"], f"{line['confidence']:.3f}"
        image = ("", "", "", "") if line["image"] == above else image
        scores = line["detector"], f"{line['score']:.5g}", f"{line['p']:.3g}"
        flagged = "yes" if line["flagged"] else ""
        table.add_row(*printable.cells(*image, *scores, flagged))
        above = line["image"]
    return table


def _notes(lines: pd.DataFrame, victim: Tensor, faced: Tensor, fpr: float) -> Iterator[str]:
    """Yield the lines that a reader of the table needs, from logits (n, K) of benign images."""
    differ, n = int((victim.argmax(1) != faced.argmax(1)).sum()), len(victim)
    yield f"victim and faced model disagree on {differ} of {n} benign images"
    share = f"{100 * fpr:g} % of benign images"
    yield f"each single detector may flag {share}; thresholds from {n}"
    if "note" in lines:
        for _, line in lines[["detector", "note"]].drop_duplicates().iterrows():
            if line["note"]:
                yield f"{line['detector']}: {line['note']}"
