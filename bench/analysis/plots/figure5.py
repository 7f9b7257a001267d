"""Figure 5 of the paper: detection along φ in three readings, for its three detectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator, PercentFormatter

from evil_twins.bench.analysis import stats
from evil_twins.bench.analysis.paper import KAPPA, Beside, beside
from evil_twins.bench.analysis.plots import style
from evil_twins.bench.analysis.plots.study import STRICT, Study, float_of
from evil_twins.bench.analysis.stats import FPR as ALPHA
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.families import Family
from evil_twins.bench.analysis.tables.frames import lines

DETECTORS = ("manifold", "smoothing-gap", "smoothing-instability", "curvature")
"""Labels under which suites run the detectors of the paper; smoothing in both directions."""

KS = "curvature"
FALLING = {"manifold": "manifold", "smoothing-gap": "smoothing"}
"""Detectors that the paper's authors read by a loss of confidence -> whose stored points."""
MOST = 3
READINGS = ("flagged targets", "success of the attack")
Values = Callable[[dict[str, Any]], tuple[float, float, float]]
_THEIRS: dict[str, Any] = {
    "linestyle": "",
    "marker": "x",
    "ms": 4.0,
    "color": style.INK,
    "mew": 0.9,
}


def draw(study: Study) -> Figure | None:
    """A column of panels a detector, a row a reading, KS at the right; None without a sweep."""
    swept = [one for one in study.families if one.along == "phi" and one.norm == "linf"]
    kappas = {float_of(one, "kappa") for one in swept}
    kappa = KAPPA if KAPPA in kappas else min(kappas, default=KAPPA)
    families = [one for one in swept if float_of(one, "kappa") == kappa][::-1][:MOST]
    names = [name for name in DETECTORS if name in study.detectors()]
    if not families or not names:
        return None
    across = len(names) + (KS in names)
    made = style.figure(max(6.5, 1.0 + 1.9 * across), 4.9)
    grid = made.subplots(2, across, sharex=True, squeeze=False)
    paper = beside(study.dataset) if kappa == KAPPA else None
    for name, (rates, success) in zip(names, grid.T, strict=False):
        _rates(rates, study, name, families)
        _lines(success, _found(study, name), families, _success)
        if name != KS:
            rates.plot(*_printed(paper, name), **_THEIRS)
        rates.set_title(name)
        success.set_xlabel("fidelity budget φ")
    if KS in names:
        _separation(grid[0, -1], study, families, paper)
        _falls(grid[1, -1], study, families, paper)
    for axes, reading in zip(grid[:, 0], READINGS, strict=True):
        axes.set_ylabel(reading)
    title = f"Detection along the fidelity budget (Figure 5): {study.title}"
    note = _note(study, families, kappa, paper)
    style.caption(made, title, note, _entries(families, paper, KS in names))
    return made


def _found(study: Study, name: str, *, strict: bool = False) -> dict[int, dict[str, Any]]:
    table = study.strict if strict else study.detection
    return {int(one["row"]): one for one in lines(table[table["detector"] == name])}


def _rate(one: dict[str, Any]) -> tuple[float, float, float]:
    """Unknown where there are too few calibration scores for a threshold."""
    known = np.isfinite(one["threshold"])
    return (one["rate"], one["low"], one["high"]) if known else stats.clopper_pearson(0, 0)


def _success(one: dict[str, Any]) -> tuple[float, float, float]:
    return stats.clopper_pearson(int(one["success"]), int(one["n"]))


def _rates(axes: Axes, study: Study, name: str, families: list[Family]) -> None:
    _lines(axes, _found(study, name), families, _rate)
    _lines(axes, _found(study, name, strict=True), families, _rate, hollow=True)
    for alpha in (STRICT, ALPHA):
        axes.axhline(alpha, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)


def _lines(
    axes: Axes,
    found: dict[int, dict[str, Any]],
    families: list[Family],
    values: Values,
    *,
    hollow: bool = False,
) -> None:
    for family, look in zip(families, style.looks(len(families)), strict=True):
        points = [(level, values(found[row])) for row, level in family.line() if row in found]
        x, (y, low, high) = [level for level, _ in points], _columns(points)
        axes.fill_between(x, low, high, color=look.color, alpha=0.06 if hollow else 0.13, lw=0)
        axes.plot(*(x, y), **_look(look, hollow=hollow))
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    _frame(axes)


def _columns(points: list[tuple[float, tuple[float, float, float]]]) -> list[list[float]]:
    return [[values[i] for _, values in points] for i in range(3)]


def _look(look: style.Look, *, hollow: bool) -> dict[str, Any]:
    shared = {"color": look.color, "linestyle": look.linestyle, "marker": look.marker}
    if hollow:
        return shared | {"linewidth": 0.8, "mfc": "white", "mec": look.color, "ms": 3.5}
    return shared | {"mec": "white"}


def _frame(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MultipleLocator(0.25))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(-0.04, 1.04)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)


def _separation(axes: Axes, study: Study, families: list[Family], paper: Beside | None) -> None:
    """KS of the curvature, as the paper has it and against benign inputs of equal confidence."""
    found = _found(study, KS)
    for family, look in zip(families, style.looks(len(families)), strict=True):
        points = [(level, found[row]) for row, level in family.line() if row in found]
        x = [level for level, _ in points]
        for name, hollow in (("ks", False), ("ks_matched", True)):
            axes.plot(x, [one[name] for _, one in points], **_look(look, hollow=hollow))
        null = [one["ks_null95"] for _, one in points]
        axes.plot(x, null, color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
    axes.plot(*_printed(paper, KS), **_THEIRS)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("KS, curvature")
    axes.set_xlabel("fidelity budget φ")
    axes.xaxis.set_tick_params(labelbottom=True)
    _frame(axes)


def _fallen(study: Study, families: list[Family]) -> bool:
    """Whether the records hold what the authors measured of manifold and smoothing."""
    rows = {row for one in families for row, _ in one.line()}
    mine = study.outcomes[study.outcomes["row"].isin(rows)]
    return bool(mine.loc[mine["detector"].isin(FALLING), "fall"].notna().any())


def _falls(axes: Axes, study: Study, families: list[Family], paper: Beside | None) -> None:
    """Mean loss of confidence, full by the manifold's reformer and hollow under noise."""
    if not _fallen(study, families):
        axes.axis("off")
        return
    for hollow, (name, theirs) in enumerate(FALLING.items()):
        mine = study.outcomes[study.outcomes["detector"] == name]
        found = {int(one["row"]): one["fall"] for one in lines(mine)}
        for family, look in zip(families, style.looks(len(families)), strict=True):
            points = [(level, found[row]) for row, level in family.line() if row in found]
            axes.plot(*np.array(points).reshape(-1, 2).T, **_look(look, hollow=bool(hollow)))
        axes.plot(*_stored(paper, theirs), **_THEIRS | {"marker": "+" if hollow else "x"})
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("loss of confidence")
    axes.set_xlabel("fidelity budget φ")
    _frame(axes)


def _printed(paper: Beside | None, name: str) -> tuple[list[float], list[float]]:
    """The paper's own points: stored ones of the curvature, else those that the text prints."""
    if paper is None:
        return [], []
    if name == KS and KS in paper.paper.stored:
        return _stored(paper, KS)
    points = paper.paper.rates.get(name, ())
    return [x for x, _ in points], [y for _, y in points]


def _stored(paper: Beside | None, name: str) -> tuple[list[float], list[float]]:
    """What the authors' scripts hold, at its own normalised fidelity loss."""
    if paper is None or name not in paper.paper.stored:
        return [], []
    return [x for x, _ in paper.paper.curves[KAPPA].points], list(paper.paper.stored[name])


def _entries(families: list[Family], paper: Beside | None, separated: bool) -> list[Line2D]:
    looks = style.looks(len(families))
    found = [
        style.entry(look, str(one.key["attack"])) for one, look in zip(families, looks, strict=True)
    ]
    found.append(Line2D([], [], **_look(style.Look(style.MUTED, (), "o"), hollow=True)))
    strict = f"at {100 * STRICT:g} %"
    found[-1].set_label(f"{strict}; KS at equal confidence" if separated else strict)
    if paper and any(len(_printed(paper, name)[0]) for name in DETECTORS):
        label = f"the paper's {paper.paper.name} ({paper.data})"
        found.append(Line2D([], [], label=label, **_THEIRS))
    return found


def _note(study: Study, families: list[Family], kappa: float, paper: Beside | None) -> str:
    rows = {row for one in families for row, _ in one.line()}
    sizes = sorted({int(n) for n in study.detection.loc[study.detection["row"].isin(rows), "n"]})
    n = f"{sizes[0]}–{sizes[-1]}" if len(sizes) > 1 else "".join(map(str, sizes))
    theirs = (
        "The paper's points lie at its own normalised fidelity loss and are not joined. "
        if paper
        else "The paper has no points for this data set and κ. "
    )
    measure = "is not stored and has no panel"
    if _fallen(study, families):
        measure = (
            "lies below it: by how much the class of x falls on average, gains counted as 0, after "
            "reforming (full; their points ×) and when logits are averaged under noise (hollow; +)"
        )
    return (
        f"Left Poisoning, right PGD. Above: targets flagged at a false-positive rate of "
        f"{100 * ALPHA:g} % (full markers) and {100 * STRICT:g} % (hollow); below: targets that "
        f"are at κ, within ε and not flagged at {100 * ALPHA:g} %, of all; both with "
        "Clopper–Pearson 95 % bands. Right: KS of the curvature, as the code of the paper's "
        "authors measured it: full against benign inputs, hollow against those of nearest "
        "confidence; dotted the 95th percentile of its null. Their measure for manifold and "
        f"smoothing, a mean change of confidence, {measure}. "
        f"{theirs}n = {n} targets, κ = {text.short(kappa)}; {text.failed(study.failed)}."
    )
