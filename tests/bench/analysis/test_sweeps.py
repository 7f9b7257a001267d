"""Sweeps from synthetic records."""

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import tables
from evil_twins.bench.analysis.tables import Analysis
from evil_twins.bench.analysis.tables.detection import DETECTION
from evil_twins.bench.analysis.tables.paired import PAIRED
from evil_twins.bench.analysis.tables.sweeps import TRADEOFF, TRENDS
from tests.bench import synthetic


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return Analysis(tables.number(synthetic.frames()))


def test_tradeoff_runs_from_one_endpoint_to_the_other(analysis: Analysis) -> None:
    curve = analysis.table(TRADEOFF)[analysis.table(TRADEOFF)["kappa"] == 0.75]
    assert list(curve["level"]) == [0, 0.25, 0.5, 0.75, 1]
    assert list(curve["end"]) == ["poisoning", "", "", "", "pgd"]
    assert list(curve["fidelity"]) == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert curve["specificity"].iloc[[0, -1]].tolist() == [1, 0]
    inner = curve.iloc[1:-1]
    for name in ("specificity", "kl"):
        assert (inner[f"{name}_low"] < inner[name]).all()
        assert (inner[name] < inner[f"{name}_high"]).all()
    assert curve["kl"].iloc[2] == pytest.approx(0.25, abs=0.03)


def test_a_family_ends_at_the_pgd_of_its_own_norm() -> None:
    frames = dict(synthetic.frames())
    for name in ("targets", "flips", "scores", "details", "gallery"):
        pure = frames[name]["method"] == "pgd"
        other = frames[name][pure].assign(attack="pgd-l2")
        frames[name] = frames[name].assign(attack=frames[name]["attack"].mask(pure, "pgd-linf"))
        if name == "targets":
            other = other.assign(norm="l2", linf=3 * other["linf"])
        frames[name] = pd.concat([other, frames[name]], ignore_index=True)
    twins, single = (
        Analysis(tables.number(records)).table(TRADEOFF)["fidelity"].to_numpy()
        for records in (frames, synthetic.frames())
    )
    np.testing.assert_allclose(twins, single)


def test_rows_of_fewer_targets_are_compared_on_those_they_share() -> None:
    frames = synthetic.frames(n=20, kappas=(0.75,))
    ids = sorted(set(frames["targets"]["target_id"]))
    for name in ("targets", "flips", "scores", "details", "gallery"):
        frame = frames[name]
        dropped = frame["method"].eq("imc") & frame["target_id"].isin(ids[10:])
        frames[name] = frame[~dropped]
    analysis = Analysis(tables.number(frames))
    curve = analysis.table(TRADEOFF).set_index("level")
    assert curve.loc[[0.25, 0.5, 0.75], "kl"].between(0, 1).all()
    assert curve.loc[[0.25, 0.5, 0.75], "specificity"].isna().all()
    assert curve.loc[0, "specificity"] == 1
    assert set(analysis.table(PAIRED)["n"]) == set(analysis.table(TRENDS)["n"]) == {10}
    assert set(analysis.table(DETECTION).groupby("method")["n"].max().loc[["imc", "pgd"]]) == {
        10,
        20,
    }


def test_trends_have_the_expected_direction(analysis: Analysis) -> None:
    trends = analysis.table(TRENDS).set_index(["quantity", "kappa"])
    assert (trends["p_holm"] < 0.001).all()
    assert trends.loc[("fidelity", 0.75), "last"] > trends.loc[("fidelity", 0.75), "first"]
    frames = synthetic.frames(n=20, kappas=(0.75,))
    levels = {0.0: 1.0, 0.25: 0.75, 0.75: 0.25, 1.0: 0.0}
    linf = frames["targets"].groupby(["kappa", "phi", "target_id"])["linf"].first()
    turned = [
        linf.get((line["kappa"], levels.get(line["phi"], line["phi"]), line["target_id"]), 0.0)
        for line in frames["targets"].to_dict("records")
    ]
    frames["targets"]["linf"] = turned
    wrong = Analysis(tables.number(frames)).table(TRENDS).set_index("quantity")
    assert (wrong.loc["fidelity", "p"] > 0.9).all()


def test_lam_is_swept_from_dear_to_cheap() -> None:
    frames = synthetic.frames(kappas=(0.75,))
    for frame in frames.values():
        if "phi" in frame:
            at = frame["method"] == "imc"
            frame.loc[at, "lam"] = frame.loc[at, "phi"].map({0.25: 30.0, 0.5: 10.0, 0.75: 1.0})
            frame.loc[at, "phi"] = np.nan
    records = tables.number(frames)
    trends = Analysis(records).table(TRENDS)
    assert set(trends["along"]) == {"lam"}
    assert (trends["p"] < 0.001).all()
    assert list(Analysis(records).table(TRADEOFF)["level"]) == [np.inf, 30, 10, 1, 0]
