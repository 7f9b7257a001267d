"""Tables and a figure of ratios from what pytest-benchmark measured.

python -m tests.benchmarks.report benchmark.json ... --into results/local/performance
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from numpy.typing import NDArray
from scipy.stats import bootstrap

TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100)

Times = NDArray[np.float64]


def read(path: Path) -> pd.DataFrame:
    """One line for each benchmark of a file: images, group, name, whether it is ours, and times.

    What was measured in turns is one line, with the facts of the last turn.

    Args:
        path: As `--benchmark-json` with `--benchmark-save-data` wrote it.
    """
    found = []
    for one in json.loads(path.read_text())["benchmarks"]:
        facts = dict(one["extra_info"])
        images, classes, training = (facts.pop(k) for k in ("images", "classes", "training"))
        found.append(
            {
                "images": f"{images.removeprefix('folder:')}, {classes} classes, "
                f"{training} training images",
                "group": one["group"],
                "name": _name(one, images),
                "ours": one["name"].startswith("test_ours"),
                "times": np.array(one["stats"]["data"]),
                "facts": facts,
            }
        )
    by = ["images", "group", "name", "ours"]
    lines = pd.DataFrame(found).groupby(by, sort=False, as_index=False)
    return lines.agg({"times": lambda turns: np.concatenate(list(turns)), "facts": "last"})


def _name(one: Mapping[str, Any], images: str) -> str:
    stem = one["name"].partition("[")[0].removeprefix("test_").replace("_", " ")
    inside = one["name"].partition("[")[2].removesuffix("]").replace(images, "")
    inside = re.sub(r"-?turn \d-?", "-", inside).strip("-")
    inside = inside.replace("-folded", ", folded").replace("-as trained", ", as trained")
    if stem in ("peer", "targets"):
        return inside
    return f"{stem}, {inside}" if inside else stem


def ratio(times: Times, own: Times) -> tuple[float, float, float]:
    """The ratio of two medians with its 95 % interval, by the bootstrap over rounds."""
    value = float(np.median(times) / np.median(own))
    if times is own or min(len(times), len(own)) < 2:
        return value, value, value
    found = bootstrap(
        (times, own),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        method="percentile",
        rng=0,
    )
    return value, float(found.confidence_interval.low), float(found.confidence_interval.high)


def compared(measured: pd.DataFrame) -> pd.DataFrame:
    """Every measurement beside each of ours in its group on the same images."""
    lines = []
    for (images, group), part in measured.groupby(["images", "group"], sort=False):
        for _, own in part[part["ours"]].iterrows():
            for _, other in part[~part["ours"]].iterrows():
                if _kind(own["name"]) not in ("", _kind(other["name"])):
                    continue
                value, low, high = ratio(other["times"], own["times"])
                key = {"images": images, "group": group, "ours": own["name"]}
                lines.append(
                    key | {"beside": other["name"], "ratio": value, "low": low, "high": high}
                )
    return pd.DataFrame(lines)


def _kind(name: str) -> str:
    """What must be the same for two to be compared: benign inputs or attacked ones."""
    return next((kind for kind in ("benign", "attacked") if kind in name), "")


def page(images: str, measured: pd.DataFrame, ratios: pd.DataFrame, machine: str) -> str:
    """The measurements on one data set in Markdown."""
    lines = [f"# Speed: {images}", "", machine, ""]
    for group, part in measured.groupby("group", sort=False):
        lines += [f"## {group}", "", "| | median, ms | quartiles, ms | |", "|---|---|---|---|"]
        for _, one in part.iterrows():
            low, middle, high = 1e3 * np.quantile(one["times"], [0.25, 0.5, 0.75])
            facts = ", ".join(f"{key} {_short(value)}" for key, value in one["facts"].items())
            lines.append(f"| {one['name']} | {middle:.4g} | {low:.4g}–{high:.4g} | {facts} |")
        mine = ratios[ratios["group"] == group] if len(ratios) else ratios
        if len(mine):
            lines += ["", "| ours | beside | times slower | 95 % |", "|---|---|---|---|"]
        for _, one in mine.iterrows():
            span = f"{one['low']:.2f}–{one['high']:.2f}"
            lines.append(f"| {one['ours']} | {one['beside']} | {one['ratio']:.2f} | {span} |")
        lines.append("")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def figure(ratios: pd.DataFrame, path: Path) -> None:
    """The ratios with their intervals, a panel for each group."""
    groups = list(dict.fromkeys(ratios["group"]))
    sns.set_theme(style="whitegrid", palette="colorblind")
    sizes = [ratios[ratios["group"] == g][["ours", "beside"]].drop_duplicates() for g in groups]
    heights = [len(size) + 1.5 for size in sizes]
    plot, panels = plt.subplots(
        len(groups),
        1,
        figsize=(9, 0.26 * sum(heights) + 1),
        height_ratios=heights,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    data = list(dict.fromkeys(ratios["images"]))
    for group, panel in zip(groups, panels[:, 0], strict=True):
        part = ratios[ratios["group"] == group]
        places = {pair: i for i, pair in enumerate(dict.fromkeys(_pairs(part)))}
        for i, images in enumerate(data):
            some = part[part["images"] == images]
            y = [places[pair] + 0.2 * (i - (len(data) - 1) / 2) for pair in _pairs(some)]
            spread = [some["ratio"] - some["low"], some["high"] - some["ratio"]]
            panel.errorbar(some["ratio"], y, xerr=spread, fmt="o", ms=4, capsize=2, label=images)
        panel.axvline(1, color="0.4", lw=1)
        panel.set(xscale="log", yticks=range(len(places)))
        panel.set_title(group, loc="right", fontsize=9)
        panel.set_yticklabels(list(places), fontsize=8)
        panel.set_ylim(len(places) - 0.5, -0.5)
        panel.set_xticks(TICKS, [f"{tick:g}×" for tick in TICKS])
        panel.minorticks_off()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    plot.legend(handles, labels, loc="outside upper left", fontsize=8, ncols=3)
    plot.supxlabel("time beside ours: ratio of medians with its 95 % interval", fontsize=9)
    plot.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(plot)


def _pairs(part: pd.DataFrame) -> list[str]:
    return [f"{a}  /  {b}" for a, b in zip(part["beside"], part["ours"], strict=True)]


def _machine(path: Path) -> str:
    facts = json.loads(path.read_text())
    cpu, when = facts["machine_info"]["cpu"], facts["datetime"][:10]
    gpu = facts["machine_info"].get("gpu")
    thread = f"{gpu}, and one thread" if gpu else "One thread"
    return (
        f"{thread} of {cpu.get('brand_raw', 'an unnamed processor')}, {cpu.get('count', '?')} "
        f"cores, Python {facts['machine_info']['python_version']}, {when}. Times depend on the "
        "machine and on what runs beside; ratios are of medians within one run."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a page for each data set, the ratios as CSV, and their figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, default=Path("results/local/performance"))
    given = parser.parse_args(arguments)
    given.into.mkdir(parents=True, exist_ok=True)
    every = []
    for path in given.files:
        for images, measured in read(path).groupby("images", sort=False):
            ratios = compared(measured)
            every.append(ratios)
            name = str(images).partition(",")[0]
            text = page(str(images), measured, ratios, _machine(path))
            (given.into / f"{name}.md").write_text(text)
    ratios = pd.concat(every, ignore_index=True)
    ratios.to_csv(given.into / "ratios.csv", index=False, float_format="%.4g")
    for ending in ("svg", "png"):
        figure(ratios, given.into / f"ratios.{ending}")


if __name__ == "__main__":
    main()
