"""A detector under an attacker who knows it, on records of which the answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evil_twins.bench.analysis import stats, tables
from evil_twins.bench.analysis.tables.compare import aware
from tests.bench import synthetic
from tests.bench.populations import detectors, frames

NEW = "confidence"
HIGH, LOW = 9.0, -9.0
"""Scores above and below those of all benign images."""

N = 12
"""Targets of a victim: so many have enough benign images for a threshold."""

Frames = dict[str, pd.DataFrame]


def _records(flagged: int, aware_flagged: int, victims: int = 8, kl: float = 0.002) -> Frames:
    """Return N targets a victim at κ, of which so many are flagged, with an extra loss in KL."""
    both: list[Frames] = []
    records = detectors(frames(victims, n=N), NEW)
    for name, count, extra in (("imc", flagged, 0.0), ("aware", aware_flagged, kl)):
        parts = {part: records[part] for part in ("targets", "flips", "scores")}
        parts = {
            part: frame[frame["method"].eq("imc") & frame["phi"].eq(0.5)].assign(method=name)
            for part, frame in parts.items()
        }
        if name == "aware":
            parts = {part: frame.assign(attack=f"aware-{NEW}") for part, frame in parts.items()}
        targets, scores = parts["targets"], parts["scores"]
        reached = {"at_kappa": True, "within_eps": True, "kl": targets["kl"] + extra}
        parts["targets"] = targets.assign(**reached)
        attacked = scores["role"].eq("attacked")
        place = scores[attacked].groupby("seed").cumcount()
        parts["scores"] = scores.copy()
        parts["scores"].loc[attacked, "score"] = np.where(place < count, HIGH, LOW)
        both.append(parts)
    joined = {part: pd.concat([side[part] for side in both]) for part in both[0]}
    return {**records, **joined}


def _written(folder: Path, records: Frames) -> tuple[dict[str, object], str]:
    """Return the line and the words of the detector."""
    synthetic.write(folder, records)
    tables.compare_aware(folder, {NEW: "finite differences"}, 99)
    (line,) = pd.read_csv(folder / "tables" / "aware.csv").to_dict("records")
    words = (folder / "tables" / "compare.md").read_text()
    return {str(name): value for name, value in line.items()}, words


def test_a_detector_that_is_evaded_everywhere_falls(tmp_path: Path) -> None:
    line, words = _written(tmp_path, _records(N, 0))
    assert (line["victims"], line["n"], line["targets"], line["at_kappa"]) == (8, 8 * N, 99, 8 * N)
    rates = stats.pooled_rate(np.zeros(8), np.full(8, float(N))).rate
    ends = [line[f"stopped{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx(rates, rel=1e-5)
    assert (line["stopped_other"], line["difference"]) == (1, -1)
    ends = [line[f"kl{end}"] for end in ("", "_low", "_high")]
    assert ends == pytest.approx([0.002] * 3, rel=1e-5)  # every victim has the same extra loss
    assert line["verdict"] == "falls"
    assert f"- **{NEW}** falls: it stops 0.00 [0.00, 0.05]" in words
    assert "| confidence | finite differences | 96 | 96 | 1.00 [0.95, 1.00] | 0.00" in words
    assert "8 victims. 96 of 99 targets" in words
    assert "for the mean of this recipe's victims" in words


def test_one_victim_is_judged_by_its_targets(tmp_path: Path) -> None:
    line, words = _written(tmp_path, _records(N, N, victims=1))
    assert (line["victims"], line["n"], line["difference"]) == (1, N, 0)
    assert line["verdict"] == "holds"
    assert "for this model only" in words
    assert "- **confidence** holds: it stops 1.00" in words
    assert line["kl"] == pytest.approx(0.002)


def test_an_input_short_of_kappa_is_stopped(tmp_path: Path) -> None:
    records = _records(N, 0)
    targets = records["targets"]
    short = targets["method"].eq("aware") & targets["label"].eq(targets["label"].min())
    records["targets"] = targets.assign(at_kappa=targets["at_kappa"] & ~short)
    line, _ = _written(tmp_path, records)
    assert line["at_kappa"] == 8 * N - short.sum()
    assert line["stopped"] == pytest.approx(short.sum() / (8 * N), rel=1e-5)


def test_targets_of_one_attack_only_are_skipped(tmp_path: Path) -> None:
    records = _records(N, 0)
    scores = records["scores"]
    gone = scores["method"].eq("aware") & scores["seed"].ge(2)
    records["scores"] = scores[~gone]
    line, _ = _written(tmp_path, records)
    assert (line["victims"], line["n"]) == (2, 2 * N)


JUDGED = {
    "falls": (0.0, 0.33, 0.57, 0.24, -0.5, -0.21),
    "undecided": (0.03, 0.65, 0.6, 0.4, -0.3, -0.1),
    "holds in part": (0.2, 0.5, 0.9, 0.8, -0.7, -0.3),
    "holds": (0.6, 0.9, 0.8, 0.7, -0.2, 0.1),
    "no evasion needed": (0.0, 0.08, 0.1, 0.02, -0.2, 0.1),
}
"""Verdict -> interval of the share stopped; the other share and its low end; the difference and its
high end."""


@pytest.mark.parametrize("verdict", JUDGED)
def test_the_verdict_follows_from_the_intervals(verdict: str) -> None:
    low, high, other, low_other, change, change_high = JUDGED[verdict]
    numbers = {"stopped_low": low, "stopped_high": high}
    numbers |= {"stopped_other": other, "stopped_other_low": low_other}
    numbers |= {"difference": change, "difference_high": change_high}
    assert aware.verdict(numbers, 0.05) == verdict


def test_without_a_loss_no_detector_falls() -> None:
    low, high, other, low_other, change, _ = JUDGED["falls"]
    numbers = {"stopped_low": low, "stopped_high": high}
    numbers |= {"stopped_other": other, "stopped_other_low": low_other}
    numbers |= {"difference": change, "difference_high": 0.1}
    assert aware.verdict(numbers, 0.05) == "undecided"
