"""`evil-twins score`: one's own faced model and images through every detector; no attack is run."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from evil_twins.bench.analysis import stats
from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.execute import reason
from evil_twins.bench.components import returned
from evil_twins.bench.errors import Fault
from evil_twins.bench.run.score_request import Asked, Benign
from evil_twins.bench.run.screen import screen
from evil_twins.bench.subjects import image_files
from evil_twins.bench.subjects.victims import Classifier
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.matrix import Column
from evil_twins.detectors.base import DefenderView, logits

DONE, SOME_FAILED = 0, 1


def score(asked: Asked, out: Path, device: str) -> int:
    """Print and write what every detector makes of every image.

    Args:
        asked: What is asked for.
        out: The CSV file to write.
        device: "cpu" or "cuda".

    Returns:
        0 if every detector gave its scores, 1 if one failed.

    Raises:
        UserError: A file is missing or damaged, models or images do not fit, or there are too few
            benign images.
    """
    columns = [one for one in suite.load(asked.detectors).columns if not one.inspects]
    victim, faced = (model.to(device) for model in asked.models())
    names, x = image_files.read(asked.inputs, faced.shape)
    benign = asked.clean(faced)
    out.touch()  # a place that cannot be written to is known before the long part
    console, failed, parts = Console(stderr=True), {}, []
    facts = _facts(names, victim, faced, x.to(device))
    prepared: dict[Any, dict[str, Tensor]] = {}
    for column in columns:
        with console.status(escape(column.label)):
            try:
                found = _column(column, victim, faced, benign, prepared, x, asked.fpr)
                parts.append(pd.concat([facts, found], axis=1))
            except Exception as error:  # a user's detector may raise anything
                failed[column.label] = reason(error)
    lines = pd.concat(parts).sort_index(kind="stable") if parts else facts
    lines.to_csv(out, index=False)
    if parts:
        screen().print(_shown(lines))
    for line in _said(lines, benign, victim, faced, asked):
        print(line)
    for label, why in failed.items():
        console.print(f"detector {label}: {why}", highlight=False, markup=False, soft_wrap=True)
    print(out)
    return SOME_FAILED if failed else DONE


def _facts(
    names: tuple[str, ...], victim: Classifier, faced: Classifier, x: Tensor
) -> pd.DataFrame:
    """Per image (N, C, H, W) its classes under both models, and how sure the faced one is."""
    z = logits(faced, x).cpu()
    return pd.DataFrame(
        {
            "image": names,
            "victim": logits(victim, x).argmax(1).cpu(),
            "faced": z.argmax(1),
            "confidence": z.softmax(1).amax(1),
        }
    )


def _column(
    column: Column,
    victim: Classifier,
    faced: Classifier,
    benign: Benign,
    prepared: dict[Any, dict[str, Tensor]],
    x: Tensor,
    fpr: float,
) -> pd.DataFrame:
    """One line an image: what a detector that is fitted on the faced model makes of it.

    Args:
        column: The detector.
        victim: The benign model, which a detector of K3 trusts.
        faced: The model to judge.
        benign: Clean data.
        prepared: What preparations have returned, which detectors share.
        x: Images (N, C, H, W).
        fpr: Share of benign images that may be flagged.
    """
    detector, device = column.detector.build(), faced.head.weight.device
    if detector.knowledge == "K2":
        raise Fault(
            "as K2 it trusts a model that was trained independently, and none is given; "
            "remedy: --detectors with a suite that leaves it out"
        )
    preparation = detector.preparation
    if preparation is not None and preparation not in prepared:
        draws = seeds.generator(benign.name, "", "preparation", 0)
        prepared[preparation] = preparation(benign.train.to(device), draws)
    held = {} if preparation is None else prepared[preparation]
    draws = seeds.generator(benign.name, "", "detector", 0)
    trusted = copy.deepcopy(victim) if detector.knowledge == "K3" else None
    view = DefenderView(copy.deepcopy(faced), benign.fit.to(device), draws, held, trusted)
    scorer = detector.fit(view)
    lots = (x.to(device), benign.calibration.to(device))
    own, usual = (returned.numbers(scorer(lot), len(lot), "it").numpy() for lot in lots)
    rule = stats.threshold(usual, fpr)
    return pd.DataFrame(
        {
            "detector": column.label,
            "knowledge": detector.knowledge,
            "score": own,
            "p": stats.conformal_p(own, usual),
            "threshold": rule.value,
            "flagged": own > rule.value,
            "note": rule.note,
        }
    )


def _shown(lines: pd.DataFrame) -> Table:
    """One line an image and detector; what is the same as above is left out."""
    table = Table(box=None, pad_edge=False)
    for name in ("image", "victim", "faced", "confidence", "detector", "score", "p", "flagged"):
        table.add_column(name, justify="left" if name in ("image", "detector") else "right")
    above = ""
    for line in lines.to_dict("records"):
        own = line["image"], line["victim"], line["faced"], f"{line['confidence']:.3f}"
        own = ("", "", "", "") if line["image"] == above else own
        scores = line["detector"], f"{line['score']:.5g}", f"{line['p']:.3g}"
        table.add_row(
            *(escape(str(one)) for one in (*own, *scores)), "yes" if line["flagged"] else ""
        )
        above = line["image"]
    return table


def _said(
    lines: pd.DataFrame, benign: Benign, victim: Classifier, faced: Classifier, asked: Asked
) -> Iterator[str]:
    """What must be known to read the table."""
    x = benign.calibration.to(faced.head.weight.device)
    apart = int((logits(victim, x).argmax(1) != logits(faced, x).argmax(1)).sum())
    yield f"victim and faced model disagree on {apart} of {len(x)} benign images"
    share = f"{100 * asked.fpr:g} % of benign images"
    yield f"each detector alone may flag {share}; thresholds from {len(x)}"
    if "note" in lines:
        for label, note in lines.groupby("detector", sort=False)["note"].first().items():
            if note:
                yield f"{label}: {note}"
