"""Victims are known by their content: in records, and where folders are merged."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.commands import app
from evil_twins.bench.store import json_files, records
from evil_twins.bench.store.checksums import checksum, content_hash
from tests.bench.runs import mistake


def _seal(mark: Path, facts: dict[str, object]) -> None:
    unsealed = {name: value for name, value in facts.items() if name != "seal"}
    mark.write_bytes(json_files.seal(unsealed))


def test_folders_whose_victims_of_one_seed_differ_are_not_merged(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, both = tmp_path / "other", tmp_path / "both"
    shutil.copytree(whole / "small", other / "small")
    (folder,) = (other / "small/cells/victim").glob("*/")
    identity = "0" * 64  # other code, or another recipe: the same name and seed, another cell
    mark = folder.rename(folder.with_name(identity)) / "cell.json"
    facts = json.loads(mark.read_text()) | {"identity": identity}
    _seal(mark, facts)
    merge = ["merge", str(whole), str(other), "--results", str(both)]
    assert app.main(merge) == 0  # equal content
    capsys.readouterr()
    shutil.rmtree(both)
    (file,) = mark.parent.glob("*.parquet")
    line = pd.DataFrame({"accuracy": [0.5], "images": [1]})
    records.write(line, records.VICTIMS, file)
    facts["files"][file.name] = (file.stat().st_size, checksum(file, None), file.stat().st_mtime_ns)
    _seal(mark, facts | {"content": content_hash(facts["files"])})
    assert "victim 'resnet-tiny seed 0' is not the same everywhere" in mistake(capsys, *merge)
    assert not list(both.glob("*/cells/*/*"))
    # A folder may hold an older victim in addition to that of both.
    shutil.copytree(whole / "small/cells/victim", other / "small/cells/victim", dirs_exist_ok=True)
    assert app.main(merge) == 0


def test_a_record_has_the_content_of_its_victim(whole: Path) -> None:
    (mark,) = (whole / "small/cells/victim").glob("*/cell.json")
    victims = pd.read_parquet(whole / "small" / "victims.parquet")
    assert victims["content"].tolist() == [json.loads(mark.read_text())["content"]]
    machine = json.loads(mark.with_name("provenance.json").read_text())["machine"]
    assert victims["computed"].tolist() == [f"float32 on {machine['processor']}"]


def test_a_target_has_the_hash_of_its_pixels(whole: Path) -> None:
    keys = ["attack", "kappa", "phi", "target_id"]
    targets = pd.read_parquet(whole / "small" / "targets.parquet")[[*keys, "content"]]
    shown = pd.read_parquet(whole / "small" / "gallery.parquet").merge(targets, on=keys)
    hashes = [hashlib.sha256(pixels).hexdigest() for pixels in shown["original"]]
    assert shown["content"].tolist() == hashes
    assert len(set(hashes)) == shown["target_id"].nunique() > 1
