"""Attackers who know detectors: what a suite says, what their cells stand on, what they reach."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from bench import suite
from bench.assemble import Finished
from bench.cells import hold
from bench.errors import UserError
from bench.plan import COPIES, Plan, plan
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, table, write

STEPS = {"input": "{ norm = 'linf' }", "model": "{ layers = 'head', delta = 20.0 }"}
COLUMNS = {
    "manifold": {"method": "manifold", "autoencoder": "{ steps = 500 }"},
    "smoothing": {"method": "smoothing", "sigma": 0.15, "counting": 0},
    "curvature": {"method": "curvature"},
    "confidence": {"method": "confidence"},
}


def _attack(name: str, method: str = "aware", evade: str = "[]", **more: object) -> str:
    given = {"kappa": 0.75, "phi": 0.5} | STEPS | more
    fields = [f'name = "{name}"', f'method = "{method}"']
    fields += [f"{key} = {value}" for key, value in given.items()]
    return "\n".join(["[[attacks]]", *fields, f"evade = {evade}" if method == "aware" else "", ""])


def _column(name: str) -> str:
    fields = [f"{k} = {v if k != 'method' else repr(v)}" for k, v in COLUMNS[name].items()]
    return "\n".join(["[[detectors]]", f'name = "{name}"', *fields, ""])


def _planned(folder: Path, *parts: str) -> Plan:
    made = suite.load(write(folder, *parts))
    return plan(made, hold.dataset("digits", None, None), "cpu")


def test_only_the_cell_of_the_attacker_stands_on_what_it_evades(tmp_path: Path) -> None:
    columns = [_column("manifold"), _column("confidence")]
    oblivious = _planned(tmp_path, _attack("imc", "imc"), *columns)
    plain = _planned(tmp_path, _attack("imc", "imc"), _attack("aware"), *columns)
    both = _attack("aware", evade="['manifold', 'confidence']")
    evading = _planned(tmp_path, _attack("imc", "imc"), both, *columns)
    assert set(oblivious.cells) <= set(plain.cells) & set(evading.cells)
    new = [evading.cells[key] for key in set(evading.cells) - set(plain.cells)]
    kinds = sorted(cell.kind for cell in new)
    assert kinds == ["attack", *["fit"] * COPIES, "score", "score"]
    (attack,) = (cell for cell in new if cell.kind == "attack")
    own = sorted((cell.title, cell.key) for cell in new if cell.kind == "fit")
    assert own[0][0] == "manifold of the attacker, 1"
    assert [attack.parents[f"fit 0 {copy}"] for copy in range(COPIES)] == [key for _, key in own]
    (before,) = (c for c in plain.cells.values() if c.label == "aware" and c.kind == "attack")
    assert attack.source != before.source
    assert [one["class"] for one in attack.spec["evade"]] == [
        "detectors.manifold:Manifold",
        "detectors.confidence:Confidence",
    ]
    assert "evade" not in before.spec


@pytest.mark.parametrize(
    ("attack", "columns", "says"),
    [
        (_attack("aware", evade="['dout']"), [doubt()], "did you mean 'doubt'"),
        (_attack("aware", evade="['doubt']"), [doubt()], "'doubt' offers no penalty for 'aware'"),
        (_attack("aware", evade="'doubt'"), [doubt()], "a list with the names"),
        (
            table("attacks", method="untouched") + "evade = ['confidence']\n",
            [_column("confidence")],
            "'untouched' cannot evade detectors",
        ),
    ],
)
def test_what_cannot_be_evaded_is_said(
    tmp_path: Path, attack: str, columns: list[str], says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        suite.load(write(tmp_path, attack, *columns))
    assert len(str(caught.value).splitlines()) <= 3


def _flagged(done: Finished, label: str) -> float:
    """The share of attacked inputs above the 95th percentile of their calibration scores."""
    shares = []
    for shard in done.plan.shards:
        if shard.row.label == label:
            scores = done.part(shard.scores[shard.row.evade[0]], "scores").to_pandas()
            benign = scores[scores["role"].eq("calibration")]["score"]
            attacked = scores[scores["role"].eq("attacked")]["score"]
            shares.append((attacked > benign.quantile(0.95, "higher")).mean())
    return float(sum(shares)) / len(shares)


def test_each_penalty_gets_the_preparations_of_its_own_detector(tmp_path: Path) -> None:
    """Of two detectors the second is the one that is trained."""
    row = _attack("both", evade="['confidence', 'manifold']", rounds=2)
    done = carry_out(tmp_path, row, _column("confidence"), _column("manifold"))
    assert not done.state.failed


def test_without_tight_limits_every_detector_is_evaded_by_those_who_know_it(
    tmp_path: Path,
) -> None:
    """By scores with noise, an auto-encoder and calibration images that the attacker never saw."""
    whole = {"phi": 1.0, "rounds": 60, "level": 0.25}
    rows = [_attack(f"aware-{name}", evade=f"['{name}']", **whole) for name in COLUMNS]
    done = carry_out(tmp_path, *rows, *map(_column, COLUMNS))
    assert not done.state.failed
    for name in COLUMNS:
        assert _flagged(done, f"aware-{name}") == 0, name
    fits = [key for key, cell in done.plan.cells.items() if cell.kind == "fit"]
    made = [
        load_file(done.store.path("fit", done.state.identity[key]) / "prepared.safetensors")
        for key in fits
    ]
    assert len({float(one["0.weight"].sum()) for one in made}) == 1 + COPIES
