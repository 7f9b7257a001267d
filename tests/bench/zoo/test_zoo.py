"""A zoo holds the models of a run, and they are what the manifest says."""

import json
import shutil
from collections import Counter
from math import nan
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects import weights
from evil_twins.bench.zoo.writing import slug
from evil_twins.bench.zoo.zoo import Zoo, verify
from tests.bench import suites
from tests.bench.runs import carry_out
from tests.bench.suites import doubt, table
from tests.pages import DOCS, blocks

HEAD, STEP = {"layers": "head"}, {"batch": 16}
PARTS = (
    table("attacks", name="pgd", method="pgd", kappa=0.75, input={"norm": "linf"}),
    table("attacks", name="poisoning", method="poisoning", kappa="benign", rounds=20, model=HEAD),
    table("attacks", name="honest", method="fine-tuning", layers="all", steps=2),
    table(
        "attacks",
        name="patch",
        method="backdoor",
        serves=2,
        rounds=4,
        trigger={"kind": "patch", "side": 0.25},
        model={"layers": "all", "batch": 16},
    ),
    doubt(),
)


@pytest.fixture(scope="module")
def zoo(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the zoo of a small suite."""
    assert not carry_out(folder, *PARTS, head=suites.HEAD + "same_goal = 2\n").state.failed
    place = tmp_path_factory.mktemp("zoo") / "models"
    line = ["zoo", "write", str(folder / "small.toml"), str(place), "--results", str(folder)]
    assert app.main(line) == 0
    return place


@pytest.fixture
def copied(zoo: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zoo, tmp_path / "copied"))


def test_it_has_each_model_once_with_its_origin(zoo: Path) -> None:
    manifest = Zoo.read(zoo).manifest
    assert [victim.seed for victim in manifest.victims] == [0]
    counts = Counter(manifest.rows[model.row].attack for model in manifest.models)
    assert counts == {"poisoning": 4, "honest": 4, "patch": 2}
    assert manifest.poisoned() == 6
    for model in manifest.models:
        row = manifest.rows[model.row]
        assert row.poisoned == (row.attack != "honest")
        assert len(model.targets) == (2 if row.attack == "patch" else 1)
        assert (model.effect.asr is not None) == (row.attack == "patch")
        assert row.kappa == ("benign" if row.attack == "poisoning" else None)


def test_its_numbers_are_those_of_the_records(zoo: Path, folder: Path) -> None:
    targets = pd.read_parquet(folder / "small" / "targets.parquet").set_index(
        ["attack", "target_id"]
    )
    manifest = Zoo.read(zoo).manifest
    for model in manifest.models:
        lines = targets.loc[[(manifest.rows[model.row].attack, name) for name in model.targets]]
        assert model.effect.confidence == pytest.approx(lines["confidence"].mean(), rel=1e-4)
        assert model.effect.kl == pytest.approx(lines["kl"].iloc[0], rel=1e-3, abs=1e-7)
        drop = manifest.victims[0].effect.accuracy - model.effect.accuracy
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
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_verify_finds_nothing_wrong(zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["zoo", "verify", str(zoo)]) == 0
    assert capsys.readouterr().out.startswith("0 of 11 models disagree")


def test_another_model_under_a_right_hash_is_caught(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    entry = next(model for model in manifest["models"] if "poisoning" in model["row"])
    tensors = load_file(copied / entry["file"])
    tensors["weights.head.bias"] = tensors["weights.head.bias"].roll(1)
    save_file(tensors, copied / entry["file"])
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert wrong.file == entry["file"]
    assert "not the file of the manifest" in wrong.words()
    entry["sha256"] = _sha256(copied / entry["file"])
    (copied / "manifest.json").write_text(json.dumps(manifest))
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert wrong.file == entry["file"]
    assert "stated accuracy" in wrong.words()


def _sha256(path: Path) -> str:
    from evil_twins.bench.store.checksums import checksum

    return checksum(path, path.parent)


@pytest.mark.parametrize("name", ["accuracy", "kl", "confidence", "asr"])
def test_a_wrong_statement_is_caught(copied: Path, name: str) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    entry = next(model for model in manifest["models"] if "patch" in model["row"])
    entry["effect"][name] = abs(entry["effect"][name] - 0.1)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    assert app.main(["zoo", "verify", str(copied)]) == 1


def test_mistakes_are_told_in_words(zoo: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no zoo"):
        Zoo.read(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UserError, match="damaged"):
        Zoo.read(tmp_path)
    with pytest.raises(UserError, match="0000-"):
        Zoo.read(zoo).model("models/0000-poisoning.safetensors")
    suite = str(folder / "small.toml")
    assert app.main(["zoo", "write", suite, str(zoo), "--results", str(folder)]) == 2
    empty = str(tmp_path / "new")
    assert app.main(["zoo", "write", suite, empty, "--results", str(tmp_path / "none")]) == 2


def test_a_file_outside_the_zoo_is_not_read(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["victims"][0]["file"] = "victims/../../secret.safetensors"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="damaged"):
        Zoo.read(copied)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("goal", torch.tensor([99])),
        ("goal", torch.tensor(1)),
        ("goal", torch.tensor([1.0])),
        ("x", torch.zeros(1, 3, 8, 8)),
        ("x", torch.full((1,), nan)),
        ("pattern", torch.full((1, 1, 8, 8), nan)),
        ("weights.trunk", torch.zeros(1)),
    ],
)
def test_a_file_of_another_form_is_a_finding(copied: Path, name: str, value: torch.Tensor) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    entry = next(model for model in manifest["models"] if "poisoning" in model["row"])
    tensors = load_file(copied / entry["file"]) | {"mask": torch.zeros(1, 1, 8, 8)}
    save_file(tensors | {name: value}, copied / entry["file"])
    entry["sha256"] = _sha256(copied / entry["file"])
    (copied / "manifest.json").write_text(json.dumps(manifest))
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert wrong.words().startswith("cannot read")


def test_a_damaged_victim_is_told_for_all_its_models(copied: Path) -> None:
    (copied / Zoo.read(copied).manifest.victims[0].file).write_bytes(b"")
    findings = list(verify(Zoo.read(copied), None))
    assert len(findings) == 11
    assert not any(finding.agrees for finding in findings)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("effect", "kl", float("inf")),
        ("effect", "won", 3),
        ("", "victim", "victims/seed-9.safetensors"),
        ("", "row", "another"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    copied: Path, part: str, name: str, value: object
) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    entry = manifest["models"][0]
    (entry[part] if part else entry)[name] = value
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="damaged"):
        Zoo.read(copied)


@pytest.mark.parametrize("splits", [{"fit": 1.0}, {"fit": 0.5}])
def test_other_splits_are_refused(copied: Path, splits: dict[str, float]) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["data"]["splits"] = splits
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="damaged"):
        Zoo.read(copied)


def test_layers_are_those_of_the_file(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    next(model for model in manifest["models"] if "patch" in model["row"])["layers"] = "head"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert "moves layers" in wrong.words()


def test_no_file_of_the_zoo_is_written_over(copied: Path) -> None:
    file = Zoo.read(copied).manifest.models[0].file
    for out in (copied / "manifest.json", copied, copied.parent / "none" / "a.safetensors"):
        assert app.main(["zoo", "model", str(copied), file, str(out)]) == 2
    assert app.main(["zoo", "verify", str(copied)]) == 0


def test_names_of_files_are_plain() -> None:
    assert slug("imc-head κ=benign φ=0.5") == "imc-head-kappa=benign-phi=0.5"
    assert slug("ä/../b") == "-..-b"
