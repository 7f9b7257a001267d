"""Zoos that are damaged, changed on purpose, or asked for what they do not have."""

from math import nan
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from evil_twins.bench.commands import app
from evil_twins.bench.errors import UserError
from evil_twins.bench.zoo.zoo import Zoo, verify
from tests.bench.zoo.edits import edited


def test_another_model_under_a_right_hash_is_caught(copied: Path) -> None:
    with edited(copied) as manifest:
        entry = next(model for model in manifest["models"] if "poisoning" in model["row"])
        tensors = load_file(copied / entry["file"])
        tensors["weights.head.bias"] = tensors["weights.head.bias"].roll(1)
        save_file(tensors, copied / entry["file"])
        (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
        assert wrong.file == entry["file"]
        assert "not the file of the manifest" in wrong.words()
        entry["sha256"] = _sha256(copied / entry["file"])
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert wrong.file == entry["file"]
    assert "stated accuracy" in wrong.words()


def _sha256(path: Path) -> str:
    from evil_twins.bench.store.checksums import checksum

    return checksum(path, path.parent)


@pytest.mark.parametrize("name", ["accuracy", "kl", "confidence", "asr"])
def test_a_wrong_statement_is_caught(copied: Path, name: str) -> None:
    with edited(copied) as manifest:
        entry = next(model for model in manifest["models"] if "patch" in model["row"])
        entry["effect"][name] = abs(entry["effect"][name] - 0.1)
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
    with edited(copied) as manifest:
        manifest["victims"][0]["file"] = "victims/../../secret.safetensors"
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
    with edited(copied) as manifest:
        entry = next(model for model in manifest["models"] if "poisoning" in model["row"])
        tensors = load_file(copied / entry["file"]) | {"mask": torch.zeros(1, 1, 8, 8)}
        save_file(tensors | {name: value}, copied / entry["file"])
        entry["sha256"] = _sha256(copied / entry["file"])
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert wrong.words().startswith("cannot read")


def test_a_damaged_victim_is_told_for_all_its_models(copied: Path) -> None:
    (copied / Zoo.read(copied).manifest.victims[0].file).write_bytes(b"")
    findings = list(verify(Zoo.read(copied), None))
    assert [finding.agrees for finding in findings] == [False] * 11 + [True] * 11


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
    with edited(copied) as manifest:
        entry = manifest["models"][0]
        (entry[part] if part else entry)[name] = value
    with pytest.raises(UserError, match="damaged"):
        Zoo.read(copied)


@pytest.mark.parametrize("splits", [{"fit": 1.0}, {"fit": 0.5}])
def test_other_splits_are_refused(copied: Path, splits: dict[str, float]) -> None:
    with edited(copied) as manifest:
        manifest["data"]["splits"] = splits
    with pytest.raises(UserError, match="damaged"):
        Zoo.read(copied)


def test_layers_are_those_of_the_file(copied: Path) -> None:
    with edited(copied) as manifest:
        next(model for model in manifest["models"] if "patch" in model["row"])["layers"] = "head"
    (wrong,) = [finding for finding in verify(Zoo.read(copied), None) if not finding.agrees]
    assert "moves layers" in wrong.words()


def test_no_file_of_the_zoo_is_written_over(copied: Path) -> None:
    file = Zoo.read(copied).manifest.models[0].file
    for out in (copied / "manifest.json", copied, copied.parent / "none" / "a.safetensors"):
        assert app.main(["zoo", "model", str(copied), file, str(out)]) == 2
    assert app.main(["zoo", "verify", str(copied)]) == 0
