"""Accuracy of the victims, compared with the paper's Table 1."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.paper import comparison
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.analysis import Analysis, Table
from evil_twins.bench.analysis.tables.frames import column, ends, lines
from evil_twins.bench.analysis.tables.records import STUDY, Records


def _victims(analysis: Analysis) -> pd.DataFrame:
    """Return one line per victim; columns that only these records have come last."""
    table = analysis.stored.victims.copy()
    counts = zip(column(table, "accuracy"), column(table, "images"), strict=True)
    rates = [stats.clopper_pearson(round(share * n), int(n)) for share, n in counts]
    papers = [comparison(str(name)) for name in table["dataset"]]
    table = table.assign(
        accuracy_low=[rate.low for rate in rates],
        accuracy_high=[rate.high for rate in rates],
        files=[_files(analysis.stored, study) for _, study in table[STUDY].iterrows()],
        paper_data=[paper.data if paper else "" for paper in papers],
        paper_victim=[paper.paper.architecture if paper else "" for paper in papers],
        paper_accuracy=[paper.paper.accuracy / 100 if paper else np.nan for paper in papers],
    )
    further = [name for name in table.columns if name not in VICTIMS.names]
    return table[[*VICTIMS.names, *further]].sort_values(STUDY, ignore_index=True)


def _files(records: Records, study: "pd.Series[Any]") -> str:
    """Return the image formats of a study by the names of its targets; empty without files."""
    rows = records.rows.index[(records.rows[STUDY] == study).all(axis=1)]
    names = records.targets.loc[records.targets["row"].isin(rows), "target_id"].unique()
    suffixes = {PurePosixPath(name).suffix.lower().lstrip(".") for name in names} - {""}
    return " and ".join(sorted({"jpeg" if suffix == "jpg" else suffix for suffix in suffixes}))


def _markdown(analysis: Analysis) -> str:
    body = [
        [
            text.study(line),
            " ".join(filter(None, [f"{line['images']:,.0f}", str(line["files"]).upper()])),
            interval(line, "accuracy", digits=4),
            str(line["paper_data"]),
            str(line["paper_victim"]),
            f"{line['paper_accuracy']:.2%}" if line["paper_data"] else "",
        ]
        for line in lines(analysis.table(VICTIMS))
    ]
    header = ["victim", "test images", "test accuracy, %"]
    header += ["paper's data", "paper's victim", "paper's Table 1"]
    return (
        "# Victims\n\n"
        "Accuracy on the whole test half with its Clopper–Pearson 95 % interval, for this model "
        f"only, compared with Table 1 of the paper. {DATA}\n\n"
    ) + text.markdown(header, body)


DATA = (
    "Same data: as the paper has them; other split: the same images, cut in another way; other "
    "copy: a folder of that name, its images fewer or encoded again; empty: the paper does not "
    "study them. A victim of another architecture or width has another name: `-narrow` is a "
    "quarter as wide, of 16 channels where the network has 64."
)


def interval(line: dict[str, Any], name: str, scale: float = 100, digits: int = 3) -> str:
    """Write a value in %, or times `scale`, with its interval where that is known."""
    return text.interval(line, name, scale, digits)


VICTIMS = Table(
    "victims",
    _victims,
    {
        " ".join(STUDY): "",
        ends("accuracy"): "on the whole test half, Clopper–Pearson",
        "files": 'encoding of a folder\'s images: "jpeg", which is lossy, "png", …',
        "paper_data": '"same data", "other split", "other copy"; empty for data that the paper '
        "does not study",
        "paper_victim paper_accuracy": "the paper's network and its printed accuracy",
        "images": "number of images for the accuracy",
        "content": "SHA-256 of the stored victim; empty in records of older versions",
        "computed": "type of the numbers; in float32 or on a GPU also the machine, since another "
        "gives other numbers; empty in records of older versions",
    },
    _markdown,
)
