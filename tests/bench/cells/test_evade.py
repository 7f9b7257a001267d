"""Attackers who know detectors: suites, dependencies of their cells, results."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from safetensors.torch import load_file

from evil_twins.attacks import aware
from evil_twins.bench.cells.evade import attackers
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.errors import UserError
from evil_twins.bench.run.assemble import Finished, score_keys
from evil_twins.bench.run.victim_cells import COPIES
from evil_twins.bench.suite import suite
from tests.bench.runs import carry_out, planned
from tests.bench.suites import HEAD, doubt, table, write

STEPS = {"input": "{ norm = 'linf' }", "model": "{ layers = 'head', delta = 20.0 }"}
COLUMNS = {
    "manifold": {"method": "manifold", "autoencoder": "{ steps = 500 }"},
    "smoothing": {"method": "smoothing", "sigma": 0.15, "counting": 0},
    "curvature": {"method": "curvature"},
    "confidence": {"method": "confidence"},
}


def _attack(name: str, method: str = "aware", evade: str = "[]", **more: object) -> str:
    parameters = {"kappa": 0.75, "phi": 0.5} | STEPS | more
    fields = [f'name = "{name}"', f'method = "{method}"']
    fields += [f"{key} = {value}" for key, value in parameters.items() if value is not None]
    return "\n".join(["[[attacks]]", *fields, f"evade = {evade}" if method == "aware" else "", ""])


def _column(name: str) -> str:
    fields = [f"{k} = {v if k != 'method' else repr(v)}" for k, v in COLUMNS[name].items()]
    return "\n".join(["[[detectors]]", f'name = "{name}"', *fields, ""])


def test_only_the_cell_of_the_attacker_stands_on_what_it_evades(tmp_path: Path) -> None:
    columns = [_column("manifold"), _column("confidence")]
    oblivious = planned(tmp_path, _attack("imc", "imc"), *columns)
    unaware = planned(tmp_path, _attack("imc", "imc"), _attack("aware"), *columns)
    both = _attack("aware", evade="['manifold', 'confidence']")
    evading = planned(tmp_path, _attack("imc", "imc"), both, *columns)
    assert set(oblivious.cells) <= set(unaware.cells) & set(evading.cells)
    new = [evading.cells[key] for key in set(evading.cells) - set(unaware.cells)]
    kinds = sorted(cell.kind for cell in new)
    assert kinds == ["attack", *["fit"] * COPIES, "score", "score"]
    (attack,) = (cell for cell in new if cell.kind == "attack")
    fits = sorted((cell.title, cell.key) for cell in new if cell.kind == "fit")
    assert fits[0][0] == "manifold of the attacker, 1"
    assert [attack.parents[f"fit 0 {copy}"] for copy in range(COPIES)] == [key for _, key in fits]
    (before,) = (c for c in unaware.cells.values() if c.label == "aware" and c.kind == "attack")
    assert attack.source != before.source
    assert [detector["class"] for detector in attack.spec["evade"]] == [
        "Manifold",
        "Confidence",
    ]
    assert "evade" not in before.spec


@pytest.mark.parametrize(
    ("attack", "columns", "message"),
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
    tmp_path: Path, attack: str, columns: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        suite.load(write(tmp_path, attack, *columns))
    assert len(str(caught.value).splitlines()) <= 3


def _passed(done: Finished, label: str, detector: str) -> list[bool]:
    """Check each target: κ reached, with a score below the 95th percentile of calibration."""
    passed: list[bool] = []
    for shard in done.plan.shards:
        if shard.row.label == label:
            keys = score_keys(done, shard, detector)
            scores = pd.concat([done.record(key, "scores").to_pandas() for key in keys])
            benign = scores[scores["role"].eq("calibration")]["score"]
            attacked = scores[scores["role"].eq("attacked")].set_index("target_id")["score"]
            targets = done.record(shard.attack, "targets").to_pandas().set_index("target_id")
            below = attacked <= benign.quantile(0.95, "higher")
            passed += (below & targets["at_kappa"].reindex(below.index)).tolist()
    return passed


@pytest.mark.slow
def test_each_penalty_gets_the_preparations_of_its_own_detector(tmp_path: Path) -> None:
    """Only the second of two detectors has a preparation."""
    row = _attack("both", evade="['confidence', 'manifold']", rounds=2)
    done = carry_out(tmp_path, row, _column("confidence"), _column("manifold"))
    assert not done.state.failed


def test_the_first_images_that_a_penalty_sees_are_not_of_one_class() -> None:
    """The images of a folder are sorted by class."""
    train = cached_dataset("digits", None, None).train
    train = train.take(train.label.argsort(stable=True))
    detector = SimpleNamespace(spec={"class": ""}, build=SimpleNamespace)
    work = SimpleNamespace(
        dataset=SimpleNamespace(name="digits", train=train),
        evade=[detector],
        parents={},
        device="cpu",
        victim=None,
    )
    ((_, view),) = attackers(work, 0)  # type: ignore[arg-type]
    benign = view.benign
    names = [image.numpy().tobytes() for image in train.x]
    place = dict(zip(names, train.label.tolist(), strict=True))
    labels = [place[image.numpy().tobytes()] for image in benign]
    assert sorted(labels) == train.label.tolist()
    assert min(labels[:200].count(digit) for digit in range(10)) >= 8


@pytest.mark.slow
def test_an_unbounded_attack_defeats_every_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores use noise, an auto-encoder and calibration images that the attacker never saw."""
    monkeypatch.setattr(aware, "LEVEL", 0.25)
    whole = {"phi": None, "input": "{ norm = 'linf', eps = 1.0 }", "rounds": 60}
    rows = [_attack(f"aware-{name}", evade=f"['{name}']", **whole) for name in COLUMNS]
    done = carry_out(tmp_path, *rows, *map(_column, COLUMNS))
    assert not done.state.failed
    for name in COLUMNS:
        assert all(_passed(done, f"aware-{name}", name)), name
    fits = [key for key, cell in done.plan.cells.items() if cell.kind == "fit"]
    prepared = [
        load_file(done.store.path("fit", done.state.identity[key]) / "prepared.safetensors")
        for key in fits
    ]
    assert len({float(tensors["0.weight"].sum()) for tensors in prepared}) == 1 + COPIES


@pytest.mark.slow
def test_no_rival_without_a_gradient_beats_it(tmp_path: Path) -> None:
    """Rivals are PGD on a second victim, and searches by confidences or classes of the victim."""
    ball, free = "{ norm = 'linf', eps = 0.5 }", {"phi": None, "model": None}
    names, rivals = ("smoothing", "curvature", "confidence"), ("transferred", "square", "hopskip")
    rows = [
        _attack(f"aware-{name}", evade=f"['{name}']", phi=None, input=ball, rounds=40)
        for name in names
    ]
    rows += [
        _attack("transferred", "transferred-pgd", **free, input=ball),
        _attack("square", "art:SquareAttack", **free, input=None, norm="'linf'", eps=0.5),
        _attack("hopskip", "art:HopSkipJump", **free, input=None, norm="'linf'", max_iter=10),
    ]
    head = HEAD.replace("epochs = 2", "epochs = 30")
    done = carry_out(tmp_path, *rows, *map(_column, names), head=head)
    assert not done.state.failed
    aware_passed, rival_passed = 0, dict.fromkeys(rivals, 0)
    for name in names:
        evaded = sum(_passed(done, f"aware-{name}", name))
        aware_passed += evaded
        for rival in rivals:
            passed = sum(_passed(done, rival, name))
            # On four targets of one detector a rival may be as good; none is over all detectors.
            assert evaded >= passed, (name, rival)
            rival_passed[rival] += passed
    assert all(passed < aware_passed for passed in rival_passed.values()), rival_passed
    assert all(rival_passed.values()), "rivals that reach nothing show nothing"
