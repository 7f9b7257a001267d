"""Controls on records in which it is known what explains a signal."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.controls import CONTROLS
from evil_twins.bench.analysis.tables.controls.words import words
from evil_twins.bench.analysis.tables.families import Family
from tests.bench import claimed, controlled

STAYS, GONE, OPEN, NONE = "stays", "vanishes", "undecided", "no signal"


def _controls(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return Analysis(tables.number(frames)).table(CONTROLS)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return _controls(controlled.frames())


def _readings(table: pd.DataFrame, control: str, detector: str) -> set[str]:
    at = table["control"].eq(control) & table["detector"].eq(detector)
    return set(table.loc[at & table["quantity"].ne("fpr"), "reading"])


def test_a_score_that_is_the_confidence_vanishes_at_equal_confidence(table: pd.DataFrame) -> None:
    assert _readings(table, "confidence", "curvature") == {GONE}
    assert _readings(table, "confidence", "smoothing-gap") == {STAYS}
    rows = table[table["control"].eq("confidence") & table["detector"].eq("curvature")]
    assert (rows["value"] > rows["null95"]).all()
    assert (rows["gap"] < 0.05).all()


def test_without_benign_inputs_of_that_confidence_what_is_left_is_undecided() -> None:
    frames = controlled.frames()
    benign = frames["scores"]["role"] != "attacked"
    frames["scores"].loc[benign, "confidence"] = 0.999
    controls = _controls(frames)
    assert _readings(controls, "confidence", "smoothing-gap") == {OPEN}


def test_what_noise_and_training_do_as_well_vanishes(table: pd.DataFrame) -> None:
    for control in ("noise", "fine-tuning"):
        assert _readings(table, control, "manifold") == {GONE}
        assert _readings(table, control, "smoothing-gap") == {STAYS}
    rows = table[table["control"].eq("noise") & table["detector"].eq("smoothing-gap")].iloc[0]
    assert rows["low"] > rows["control_high"]
    assert rows["difference_low"] > 0.5


def test_a_detector_that_flags_nothing_has_no_signal_to_explain() -> None:
    frames = controlled.frames()
    scores = frames["scores"]
    at = scores["detector"].eq("manifold") & scores["role"].eq("attacked")
    scores.loc[at, "score"] = -9.0
    assert _readings(_controls(frames), "noise", "manifold") == {NONE}


def test_the_leverage_of_a_diagonal_is_slack(table: pd.DataFrame) -> None:
    controls = table[table["control"] == "endpoints"]
    pgd = controls[controls["against"] == "pgd-first"].set_index("phi")
    assert list(pgd.index) == [0.1, 0.25, 0.5, 0.75, 0.9]
    half = pgd.loc[0.5]
    assert half["control_value"] == pytest.approx(0.0, abs=1e-9)
    assert half["value"] == half["difference"] == pytest.approx(0.25)
    assert half["difference_low"] == pytest.approx(half["difference_high"])
    assert half["reading"] == GONE
    assert half["n"] == 60
    whole = controls[controls["against"] == "imc-head-first, pgd-first"]
    assert list(whole["phi"]) == [0.5]
    assert whole["value"].iloc[0] == pytest.approx(0.25)


def test_only_targets_at_kappa_in_every_row_are_compared() -> None:
    frames = controlled.frames()
    targets = frames["targets"]
    late = targets["target_id"] < f"{controlled.WORLD.dataset}/0010"
    targets.loc[targets["attack"].eq("pgd-first") & late, "at_kappa"] = False
    controls = _controls(frames)
    assert set(controls.loc[controls["control"] == "endpoints", "n"]) == {50}


def test_poisoning_that_costs_nothing_leaves_the_leverage_undecided() -> None:
    frames = controlled.frames(replace(controlled.WORLD, rho=lambda kappa, phi: 0.0))
    controls = _controls(frames)
    assert set(controls.loc[controls["control"] == "endpoints", "reading"]) == {OPEN}


def test_draws_in_which_poisoning_harms_nothing_are_skipped() -> None:
    """The harm is that of a single target; a third of the draws do not have it."""
    frames = controlled.frames()
    first = f"{controlled.WORLD.dataset}/0000"
    for name in ("targets", "flips"):
        frame = frames[name]
        pure = frame["attack"].str.startswith("poisoning-head") & frame["target_id"].ne(first)
        if name == "flips":
            frames[name] = frame[~pure]
        else:
            frame.loc[pure, "flipped"] = 0
    slack = _controls(frames)
    slack = slack[slack["control"].eq("endpoints") & slack["against"].eq("pgd-first")]
    for column in ("difference", "difference_low", "difference_high"):
        assert slack[column].to_numpy() == pytest.approx(slack["phi"].to_numpy() / 2)
    assert set(slack["reading"]) == {NONE}


def test_a_threshold_of_the_victim_misses_where_benign_scores_move() -> None:
    frames = controlled.frames()
    scores = frames["scores"]
    moved = scores["attack"].eq("poisoning-head") & scores["detector"].eq("smoothing-gap")
    scores.loc[moved, "score"] += 1.5
    controls = _controls(frames)
    controls = controls[controls["control"].eq("calibration") & controls["phi"].eq(0)].set_index(
        "detector"
    )
    lines = controls.loc["smoothing-gap"].set_index("quantity")
    assert lines.loc["fpr", "reading"] == "misses the nominal rate"
    assert lines.loc["fpr", "value"] > 0.3 > 0.12 > lines.loc["fpr", "control_value"]
    assert lines.loc["rate", "value"] > lines.loc["rate", "control_value"]
    other = controls.loc["manifold"].set_index("quantity")
    assert other.loc["fpr", "reading"] == "agrees with the nominal rate"
    cut = np.sort(_scores(frames, "untouched", "smoothing-gap", "calibration"))
    rule = cut[int(np.ceil(241 * 0.95)) - 1]
    fresh = _scores(frames, "poisoning-head", "smoothing-gap", "fpr")
    assert lines.loc["fpr", "value"] == pytest.approx((fresh > rule).mean())


def _scores(frames: dict[str, pd.DataFrame], attack: str, detector: str, role: str) -> np.ndarray:
    scores = frames["scores"]
    at = scores["attack"].eq(attack) & scores["detector"].eq(detector) & scores["role"].eq(role)
    return scores.loc[at, "score"].to_numpy()


def test_the_words_say_what_vanishes_and_by_how_much(table: pd.DataFrame) -> None:
    page = words(table, 0.05)
    first = page.split("## Noise")[0]
    assert "- curvature: a signal in 7 of 7 rows; it **vanishes** in 7.\n" in first
    assert "- smoothing-gap: a signal in 7 of 7 rows; it stays in 7.\n" in first
    noise = page.split("## Noise")[1].split("## Fine")[0]
    assert "- manifold: a signal in 1 of 1 rows; it **vanishes** in 1.\n" in noise
    loose = page.split("## Loose")[1]
    assert "- pgd-first loose: mean leverage 0.25, of which +0.25 is slack." in loose


def test_a_suite_without_controls_has_no_table() -> None:
    frames = claimed.frames(claimed.World(n=10))
    for name in ("targets", "scores"):
        frames[name] = frames[name][frames[name]["method"] == "pgd"]
    assert _controls(frames).empty


def test_one_level_beside_a_sweep_is_no_sweep_of_its_own() -> None:
    def labels(families: list[Family]) -> set[str]:
        return {str(family.key["attack"]) for family in families}

    frames = controlled.frames()
    analysis = Analysis(tables.number(frames))
    assert labels(analysis.families) == {"imc-head", "imc-head-first"}
    assert labels(analysis.sweeps) == {"imc-head"}
    single = {name: frame[frame["attack"] != "imc-head"] for name, frame in frames.items()}
    assert labels(Analysis(tables.number(single)).sweeps) == {"imc-head-first"}
