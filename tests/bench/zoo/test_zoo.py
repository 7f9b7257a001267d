"""A zoo holds the models of a run, and they are what the manifest says."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from evil_twins.bench.commands import app
from evil_twins.bench.subjects import weights
from evil_twins.bench.zoo.writing import slug
from evil_twins.bench.zoo.zoo import Zoo
from tests.pages import DOCS, blocks


def test_it_has_each_model_once_with_its_origin(zoo: Path) -> None:
    manifest = Zoo.read(zoo).manifest
    assert [(victim.seed, victim.draw) for victim in manifest.victims] == [(0, 0), (1, 1)]
    counts = Counter(manifest.rows[model.row].attack for model in manifest.models)
    assert counts == {"poisoning": 8, "honest": 8, "patch": 4}
    assert manifest.poisoned() == 12
    for model in manifest.models:
        row = manifest.rows[model.row]
        assert row.poisoned == (row.attack != "honest")
        assert len(model.targets) == (2 if row.attack == "patch" else 1)
        assert (model.effect.asr is not None) == (row.attack == "patch")
        assert row.kappa == ("benign" if row.attack == "poisoning" else None)


def test_its_numbers_are_those_of_the_records(zoo: Path, folder: Path) -> None:
    targets = pd.read_parquet(folder / "small" / "targets.parquet").set_index("target_id")
    manifest = Zoo.read(zoo).manifest
    victims = {victim.file: victim for victim in manifest.victims}
    for model in manifest.models:
        victim, attack = victims[model.victim], manifest.rows[model.row].attack
        rows = targets[targets["attack"].eq(attack) & targets["seed"].eq(victim.seed)]
        lines = rows.loc[list(model.targets)]
        assert model.effect.confidence == pytest.approx(lines["confidence"].mean(), rel=1e-4)
        assert model.effect.kl == pytest.approx(lines["kl"].iloc[0], rel=1e-3, abs=1e-7)
        drop = victim.effect.accuracy - model.effect.accuracy
        assert drop == pytest.approx(lines["accuracy_drop"].iloc[0], abs=1e-6)
        if model.effect.asr is not None:
            assert model.effect.asr == pytest.approx(lines["asr"].iloc[0])


def test_a_head_is_stored_as_its_difference(zoo: Path) -> None:
    manifest = Zoo.read(zoo).manifest
    for model in manifest.models:
        names = {name for name in load_file(zoo / model.file) if name.startswith("weights.")}
        assert (model.layers == "head") == (names == {"weights.head.weight", "weights.head.bias"})
        size = (zoo / model.file).stat().st_size / (zoo / model.victim).stat().st_size
        assert size < (0.5 if model.layers == "head" else 1.1)


def test_a_model_is_that_of_the_run_and_can_be_written_as_a_whole(
    zoo: Path, tmp_path: Path
) -> None:
    opened = Zoo.read(zoo)
    (entry, *_) = [model for model in opened.manifest.models if "poisoning" in model.row]
    stored, model = load_file(zoo / entry.file), opened.model(entry.file)
    confidence = model(stored["x"]).softmax(1)[0, stored["goal"][0]]
    assert float(confidence) == pytest.approx(entry.effect.confidence, rel=1e-5)
    assert not any(weight.requires_grad for weight in model.parameters())
    whole = tmp_path / "whole.safetensors"
    assert app.main(["zoo", "model", str(zoo), entry.file, str(whole)]) == 0
    again = weights.load(whole, None)
    assert torch.equal(again(stored["x"]), model(stored["x"]))


def test_the_page_shows_how_it_is_read(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(copied.rename(copied.with_name("zoo")).parent)
    (code,) = blocks(DOCS / "zoo.md", "python")
    exec(compile(code, "docs/zoo.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 20


def test_verify_finds_nothing_wrong(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["zoo", "verify", str(zoo)]) == 0
    assert capsys.readouterr().out.startswith("0 of 22 models disagree")


def test_names_of_files_are_plain() -> None:
    assert slug("imc-head κ=benign φ=0.5") == "imc-head-kappa=benign-phi=0.5"
    assert slug("ä/../b") == "-..-b"
