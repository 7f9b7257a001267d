"""One model for several targets, on records of which the groups are known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from evil_twins.bench.analysis import plots, tables
from evil_twins.bench.analysis.plots import serving, style
from evil_twins.bench.analysis.plots.study import studies
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.load import LOAD
from evil_twins.bench.analysis.tables.samples import specificity_samples
from evil_twins.bench.errors import UserError
from evil_twins.bench.suite import suite
from evil_twins.bench.suite.rows import check_filled
from tests.bench import claimed, synthetic
from tests.bench.claimed import TRUE

WORLD = replace(TRUE, n=16, kappas=(0.75,), rounds={}, odds=None, lowered=None)


def _grouped(serves: int) -> dict[str, pd.DataFrame]:
    """Return records in which every model of a Poisoning or IMC row serves so many targets."""
    frames = claimed.frames(WORLD)
    targets = frames["targets"].sort_values("target_id", kind="stable")
    place = targets.groupby(tables.KEYS, dropna=False).cumcount()
    names = np.array(sorted(targets["target_id"].unique()))
    first = names[(place - place % serves).to_numpy()]
    poisoned = targets["method"].isin(["poisoning", "imc"]).to_numpy()
    frames["targets"] = targets.assign(group=np.where(poisoned, first, targets["target_id"]))
    flips = frames["flips"]
    if serves > 1 and len(flips):
        model = dict(zip(names, names[np.arange(len(names)) // serves * serves], strict=True))
        firsts = flips[flips["target_id"].isin(model.values())]
        copies = [
            firsts.assign(
                target_id=firsts["target_id"].map(
                    dict.fromkeys(model.values()) | {model[name]: name}
                )
            )
            for name in names
        ]
        frames["flips"] = pd.concat(copies).dropna(subset="target_id")
    return frames


def test_intervals_are_over_models_and_a_single_model_has_none() -> None:
    width = {}
    for serves, models in ((4, 4), (16, 1)):
        table = Analysis(tables.number(_grouped(serves))).table(LOAD)
        assert set(table["serves"]) == {serves}
        assert set(table["models"]) == {models}
        assert (table["rate"] * 16).to_numpy() == pytest.approx(table["detected"].to_numpy())
        assert table["share"].to_numpy() == pytest.approx(table["specificity"] / serves)
        width[serves] = (table["high"] - table["low"]).to_numpy()
        assert (table["low"].isna() == (models == 1)).all()
        assert (table["kl_low"].isna() == (models == 1)).all()
    assert (width[4] > 0).all()


def test_specificity_is_resampled_a_model_at_a_time() -> None:
    frames = _grouped(1)
    single = specificity_samples(tables.number(frames), 100)
    frames["targets"]["group"] = None
    for row, samples in specificity_samples(tables.number(frames), 100).items():
        assert np.array_equal(samples, single[row])
    four = specificity_samples(tables.number(_grouped(4)), 100)
    assert any(four[row].std() > single[row].std() for row in single)


def test_it_is_written_where_models_serve_several_and_only_there(
    tmp_path: Path, make_only: Callable[..., None], draw_only: Callable[[str], None]
) -> None:
    make_only(LOAD)
    draw_only("load")
    directory = synthetic.write(tmp_path, _grouped(4))
    tables.write(directory)
    assert "| 4 | 4 | 16/16 |" in (directory / "tables" / "load.md").read_text()
    assert any(path.name == "load.svg" for path in plots.draw(directory))
    synthetic.write(tmp_path, _grouped(1))
    tables.write(directory)
    assert not list((directory / "tables").glob("load.*"))


def test_a_cell_that_does_not_fill_its_groups_is_refused() -> None:
    rows = {row.label: row for row in suite.load("load").rows}
    targets = suite.load("load").targets
    check_filled(rows["poisoning-16"], 32, targets)
    check_filled(rows["pgd-linf"], 3, targets)
    with pytest.raises(UserError, match="serves 16 targets; a cell has 24"):
        check_filled(rows["poisoning-16"], 24, targets)
    carrying = {row.label: row for row in suite.load("triggers").rows}["universal"]
    shared = targets.model_copy(update={"same_goal": 4})
    check_filled(carrying, 8, shared)
    for change in ({"same_goal": 2}, {"after": 2}):
        with pytest.raises(UserError, match=r"let `serves` divide targets\.same_goal and"):
            check_filled(carrying, 8, shared.model_copy(update=change))


def test_of_a_single_level_the_interval_is_drawn_as_a_line() -> None:
    (study,) = studies(Analysis(tables.number(_grouped(4)), add_any=False))
    with style.PAGE.settings():
        drawn = serving.draw(study)
    assert drawn is not None
    first = drawn.axes[0].collections[0]
    assert isinstance(first, LineCollection)
    low, high = (point[1] for point in first.get_segments()[0])
    assert low < high
