"""With κ "benign" the confidence of attacked inputs is flagged as often as that of benign ones."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.analysis import stats
from evil_twins.bench.store.levels import BENIGN

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
PAPER = 0.75


def _lines(suite: str, table: str, kappa: float) -> pd.DataFrame:
    """Return the lines of `confidence` under the attacks at κ, without the control by noise."""
    lines = pd.read_csv(REFERENCE / suite / "tables" / f"{table}.csv")
    lines = lines[lines["fpr_nominal"].eq(stats.FPR) & lines["kappa"].eq(kappa)]
    return lines[lines["detector"].eq("confidence") & lines["attack"].ne("noise-linf")]


def _tests(suite: str, kappa: float) -> stats.Floats:
    """Test the rate against that of other benign images, by victim, corrected over the attacks."""
    lines = _lines(suite, "detection", kappa)
    gaps = lines.assign(gap=lines["rate"] - lines["fpr_realised"])
    wide = gaps.pivot(index="seed", columns=["attack", "layers", "phi"], values="gap")
    return stats.joint_flips(wide.to_numpy())


@pytest.mark.parametrize("suite", ["quick", "gtsrb-small"])
def test_confidence_flags_attacks_at_its_false_positive_rate(suite: str) -> None:
    assert (_tests(suite, BENIGN) > 0.05).all()
    over = _lines(suite, "population", BENIGN)
    assert len(over) >= 7
    assert (over["low"].le(stats.FPR) & over["high"].ge(stats.FPR)).all()


@pytest.mark.parametrize("suite", ["quick", "gtsrb-small"])
def test_at_the_paper_s_kappa_it_flags_every_attack(suite: str) -> None:
    assert (_tests(suite, PAPER) <= 2**-7).all()
    assert _lines(suite, "population", PAPER)["rate"].ge(0.99).all()
