"""The claim on evasion: its needs, and the choice of φ."""

import numpy as np
import pandas as pd
import pytest

from tests.bench import judging


def test_evasion_needs_other_victims_and_every_level() -> None:
    (part, *_) = judging.parts(judging.changed(lambda records: None), "f")
    assert part.note == "φ is chosen on other victims, and there is only one"
    of = judging.changed(lambda records: judging.lose(records, phi=0.9), count=2)
    assert {part.note for part in judging.tested(of, "f")} == {"φ .9 was not run at κ .75"}


def test_evasion_needs_enough_calibration_scores() -> None:
    def fewer(records: dict[str, pd.DataFrame]) -> None:
        scores = records["scores"]
        late = scores["role"].eq("calibration") & scores["image_id"].gt("calibration/0149")
        records["scores"] = scores[~late | scores["seed"].ne(1)]

    note = "150 calibration scores of the OR, at least 200 are needed (seed 1)"
    for part in judging.tested(judging.changed(fewer, count=3), "f"):
        assert (part.missing, part.note) == (1, note)


def test_phi_is_chosen_on_the_other_victims() -> None:
    """At φ .1 all targets of the first victim evade, and 4 of the others'; at φ .75 6 of each."""

    def caught(records: dict[str, pd.DataFrame]) -> None:
        scores = records["scores"]
        place = scores["target_id"].str[-4:].where(scores["target_id"].ne(""), "0").astype(int)
        few = scores["phi"].eq(0.1) & (place.lt(4) | scores["seed"].eq(0))
        evades = few | (scores["phi"].eq(0.75) & place.lt(6))
        attacked = scores["role"].eq("attacked")
        value = np.where(evades, -9.0, 9.0)
        records["scores"] = scores.assign(score=np.where(attacked, value, scores["score"]))

    for part in judging.tested(judging.changed(caught, count=3), "f"):
        assert part.values == pytest.approx((6 / 12, 4 / 12, 4 / 12))
