"""Write tables and a figure of ratios from measurements of pytest-benchmark.

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
    """Return one row for each benchmark: images, group, name, ours or not, times, facts.

    The turns of one benchmark are joined to one row, with the facts of the last turn.

    Args:
        path: A file of `--benchmark-json` with `--benchmark-save-data`.
    """
    rows = []
    for benchmark in json.loads(path.read_text())["benchmarks"]:
        facts = dict(benchmark["extra_info"])
        images, classes, training = (facts.pop(k) for k in ("images", "classes", "training"))
        rows.append(
            {
                "images": f"{images.removeprefix('folder:')}, {classes} classes, "
                f"{training} training images",
                "group": benchmark["group"],
                "name": _name(benchmark, images),
                "ours": benchmark["name"].startswith("test_ours"),
                "times": np.array(benchmark["stats"]["data"]),
                "facts": facts,
            }
        )
    by = ["images", "group", "name", "ours"]
    lines = pd.DataFrame(rows).groupby(by, sort=False, as_index=False)
    return lines.agg({"times": lambda turns: np.concatenate(list(turns)), "facts": "last"})


def _name(benchmark: Mapping[str, Any], images: str) -> str:
    stem, _, inside = benchmark["name"].partition("[")
    stem = stem.removeprefix("test_").replace("_", " ")
    inside = inside.removesuffix("]").replace(images, "")
    inside = re.sub(r"-?turn \d-?", "-", inside).strip("-")
    inside = inside.replace("-folded", ", folded").replace("-as trained", ", as trained")
    if stem in ("peer", "targets"):
        return inside
    return f"{stem}, {inside}" if inside else stem


def ratio(times: Times, ours: Times) -> tuple[float, float, float]:
    """Return the ratio of two medians with its 95 % interval, by the bootstrap over rounds."""
    value = float(np.median(times) / np.median(ours))
    if times is ours or min(len(times), len(ours)) < 2:
        return value, value, value
    interval = bootstrap(
        (times, ours),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        method="percentile",
        rng=0,
    ).confidence_interval
    return value, float(interval.low), float(interval.high)


def compared(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the ratio of each measurement to each of ours in its group on the same images."""
    lines = []
    for (images, group), rows in measured.groupby(["images", "group"], sort=False):
        for _, ours in rows[rows["ours"]].iterrows():
            for _, peer in rows[~rows["ours"]].iterrows():
                if _kind(ours["name"]) not in ("", _kind(peer["name"])):
                    continue
                value, low, high = ratio(peer["times"], ours["times"])
                key = {"images": images, "group": group, "ours": ours["name"]}
                lines.append(
                    key | {"beside": peer["name"], "ratio": value, "low": low, "high": high}
                )
    return pd.DataFrame(lines)


def _kind(name: str) -> str:
    """Return the kind of inputs; only measurements on the same kind are compared."""
    return next((kind for kind in ("benign", "attacked") if kind in name), "")


def page(images: str, measured: pd.DataFrame, ratios: pd.DataFrame, machine: str) -> str:
    """Return the measurements on one data set as Markdown."""
    lines = [f"# Speed: {images}", "", machine, ""]
    for group, rows in measured.groupby("group", sort=False):
        lines += [f"## {group}", "", "| | median, ms | quartiles, ms | |", "|---|---|---|---|"]
        for _, row in rows.iterrows():
            low, middle, high = 1e3 * np.quantile(row["times"], [0.25, 0.5, 0.75])
            facts = ", ".join(f"{key} {_short(value)}" for key, value in row["facts"].items())
            lines.append(f"| {row['name']} | {middle:.4g} | {low:.4g}–{high:.4g} | {facts} |")
        compared_rows = ratios[ratios["group"] == group] if len(ratios) else ratios
        if len(compared_rows):
            lines += ["", "| ours | compared with | times slower | 95 % |", "|---|---|---|---|"]
        for _, row in compared_rows.iterrows():
            span = f"{row['low']:.2f}–{row['high']:.2f}"
            lines.append(f"| {row['ours']} | {row['beside']} | {row['ratio']:.2f} | {span} |")
        lines.append("")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def figure(ratios: pd.DataFrame, path: Path) -> None:
    """Draw the ratios with their intervals, one panel for each group."""
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
        in_group = ratios[ratios["group"] == group]
        places = {pair: i for i, pair in enumerate(dict.fromkeys(_pairs(in_group)))}
        for i, images in enumerate(data):
            rows = in_group[in_group["images"] == images]
            y = [places[pair] + 0.2 * (i - (len(data) - 1) / 2) for pair in _pairs(rows)]
            spread = [rows["ratio"] - rows["low"], rows["high"] - rows["ratio"]]
            panel.errorbar(rows["ratio"], y, xerr=spread, fmt="o", ms=4, capsize=2, label=images)
        panel.axvline(1, color="0.4", lw=1)
        panel.set(xscale="log", yticks=range(len(places)))
        panel.set_title(group, loc="right", fontsize=9)
        panel.set_yticklabels(list(places), fontsize=8)
        panel.set_ylim(len(places) - 0.5, -0.5)
        panel.set_xticks(TICKS, [f"{tick:g}×" for tick in TICKS])
        panel.minorticks_off()
    handles, labels = panels[0, 0].get_legend_handles_labels()
    plot.legend(handles, labels, loc="outside upper left", fontsize=8, ncols=3)
    plot.supxlabel("time over ours: ratio of medians with its 95 % interval", fontsize=9)
    plot.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(plot)


def _pairs(rows: pd.DataFrame) -> list[str]:
    return [f"{a}  /  {b}" for a, b in zip(rows["beside"], rows["ours"], strict=True)]


def _machine(path: Path) -> str:
    facts = json.loads(path.read_text())
    cpu, when = facts["machine_info"]["cpu"], facts["datetime"][:10]
    gpu = facts["machine_info"].get("gpu")
    thread = f"{gpu}, and one thread" if gpu else "One thread"
    return (
        f"{thread} of {cpu.get('brand_raw', 'an unnamed processor')}, {cpu.get('count', '?')} "
        f"cores, Python {facts['machine_info']['python_version']}, {when}. Times depend on the "
        "machine and its load; ratios are of medians within one run."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one page for each data set, the ratios as CSV, and their figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, default=Path("results/local/performance"))
    options = parser.parse_args(arguments)
    options.into.mkdir(parents=True, exist_ok=True)
    tables = []
    for path in options.files:
        for images, measured in read(path).groupby("images", sort=False):
            ratios = compared(measured)
            tables.append(ratios)
            name = str(images).partition(",")[0]
            text = page(str(images), measured, ratios, _machine(path))
            (options.into / f"{name}.md").write_text(text)
    ratios = pd.concat(tables, ignore_index=True)
    ratios.to_csv(options.into / "ratios.csv", index=False, float_format="%.4g")
    for ending in ("svg", "png"):
        figure(ratios, options.into / f"ratios.{ending}")


if __name__ == "__main__":
    main()
