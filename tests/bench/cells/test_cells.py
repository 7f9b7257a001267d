"""Where finished cells lie, and what names them."""

import json
import os
from errno import EXDEV
from pathlib import Path

import pandas as pd
import pytest
import torch

from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.identity import Cell
from evil_twins.bench.errors import Fault, UserError
from evil_twins.bench.store import records
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.soundness import verify
from evil_twins.bench.store.temporaries import abandoned, machine, temporary

SPEC = {
    "dataset": {"name": "digits", "size": None},
    "device": "cpu",
    "preparation": {"class": "Prepare", "parameters": {}},
}
FACTS = {"title": "a", "spec": SPEC, "parents": {}, "versions": {}}
PROVENANCE = {"seconds": 1.0, "machine": {"host": "here"}}


def _commit(store: Store, text: str = "content") -> str:
    folder = store.begin("fit", "ab")
    (folder / "a.safetensors").write_text(text)
    (folder / "b.parquet").write_text("rows")
    return store.commit("fit", "ab", folder, FACTS, PROVENANCE)


def test_a_cell_is_there_after_its_commit_and_not_before(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.begin("fit", "ab")
    (folder / "a.safetensors").write_text("half")
    assert store.find("fit", "ab") is None
    store.discard(folder)
    content = _commit(store)
    assert store.find("fit", "ab") == content
    assert sorted(path.name for path in (tmp_path / "fit").iterdir()) == ["ab"]


def test_content_is_what_was_computed_and_not_how_long_it_took(tmp_path: Path) -> None:
    first, second, third = (Store(tmp_path / name) for name in "abc")
    assert _commit(first) == _commit(second)
    assert _commit(third, "other") != _commit(first)
    facts = json.loads((first.path("fit", "ab") / "provenance.json").read_text())
    assert facts["seconds"] == 1.0


@pytest.mark.parametrize(
    ("file", "text"),
    [("a.safetensors", "short"), ("a.safetensors", "CONTENT"), ("b.parquet", "swor")]
    + [("cell.json", text) for text in ("{", "[]", '{"files": {"b.parquet": 3}}')],
)
def test_a_damaged_cell_is_not_found(tmp_path: Path, file: str, text: str) -> None:
    store = Store(tmp_path)
    _commit(store)
    path = store.path("fit", "ab") / file
    path.write_text(text)
    os.utime(path, ns=(0, 0))  # a clock may be too coarse to show a change so soon
    assert store.find("fit", "ab") is None
    content = _commit(store)
    assert store.find("fit", "ab") == content


def test_a_touched_or_copied_cell_is_still_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    content = _commit(store)
    for path in store.path("fit", "ab").iterdir():
        os.utime(path, ns=(0, 0))
    assert store.find("fit", "ab") == content


def test_damage_that_size_and_time_hide_is_named_and_the_cell_is_made_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    content = _commit(store)
    path = store.path("fit", "ab") / "a.safetensors"
    times = path.stat()
    path.write_text("CONTENT")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.find("fit", "ab") == content
    with pytest.raises(Fault, match=r"a\.safetensors is missing or damaged; remedy: run again"):
        verify(store.path("fit", "ab"))
    assert store.find("fit", "ab") is None


def test_a_failure_goes_when_the_cell_succeeds(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.fail("fit", "ab", "a", "why", "Traceback ...")
    assert json.loads(store.failure("fit", "ab").read_text()) == {"cell": "a", "reason": "why"}
    _commit(store)
    assert sorted(path.name for path in (tmp_path / "fit").iterdir()) == ["ab"]


def test_of_two_runs_that_finish_the_same_cell_the_records_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    content = _commit(store)
    first = store.path("fit", "ab").stat().st_ino
    assert _commit(store) == content
    assert store.path("fit", "ab").stat().st_ino == first
    assert _commit(store, "other") != content
    assert store.path("fit", "ab").stat().st_ino != first
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["ab"]


def test_only_the_dead_leave_rubbish(tmp_path: Path) -> None:
    store = Store(tmp_path / "small" / "cells")
    current = store.begin("fit", "ab")
    assert store.begin("fit", "ab") != current
    dead = current.with_name(current.name.replace(f".{os.getpid()}.", ".4194305."))
    elsewhere = current.with_name(current.name.replace(machine(), "0123456789ab"))
    old = current.with_name(elsewhere.name.replace(".ab.", ".cd."))
    draft = tmp_path / "small" / "tables" / dead.name
    for folder in (dead, elsewhere, old, draft):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    (tmp_path / "small" / ".notes").touch()
    os.utime(tmp_path / "small" / ".notes", (0, 0))
    store.sweep()
    assert current.exists()
    assert elsewhere.exists()
    assert (tmp_path / "small" / ".notes").exists()
    assert not any(path.exists() for path in (dead, old, draft))


def test_two_containers_of_one_host_name_never_share_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = temporary("ab")
    monkeypatch.setattr(os, "readlink", lambda _: "pid:[1]")
    machine.cache_clear()
    assert temporary("ab").split(".")[2] != first.split(".")[2]
    (tmp_path / first.replace(f".{os.getpid()}.", ".4194305.")).touch()
    assert not any(map(abandoned, tmp_path.iterdir()))
    machine.cache_clear()


def test_a_cell_in_the_layer_of_an_image_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    content, usual = _commit(store), Path.rename

    def rename(path: Path, target: Path) -> Path:
        if path == store.path("fit", "ab"):
            raise OSError(EXDEV, "Invalid cross-device link")
        return usual(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert _commit(store, "other") != content
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["ab"]


def test_an_identity_is_spec_code_and_parents() -> None:
    def named(**changed: object) -> str:
        facts = {"spec": {"a": 1}, "source": "s", "title": "t", "label": "l"} | changed
        cell = Cell("fit", facts["title"], facts["label"], None, facts["spec"], facts["source"])  # type: ignore[arg-type]
        return cell.identity({"victim": str(facts.get("victim", "v"))})

    assert named() == named(title="other", label="other")
    different = [named(), named(spec={"a": 2}), named(source="z"), named(victim="w")]
    assert len(set(different)) == 4


def test_seeds_come_from_names_alone() -> None:
    assert seeds.seed("digits", "digits/0001", "goal") == seeds.seed(
        "digits", "digits/0001", "goal"
    )
    assert seeds.seed("a", "bc") != seeds.seed("ab", "c")
    assert seeds.seed("a", 1) != seeds.seed("a", 2)
    before = torch.random.get_rng_state()
    first, second = (torch.rand(3, generator=seeds.generator("a", 0)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(before, torch.random.get_rng_state())


def test_records_are_whole_typed_and_equal(tmp_path: Path) -> None:
    frame = pd.DataFrame({"target_id": ["a"], "image_id": ["b"], "more": [1]})
    for name in ("first", "second"):
        records.write(frame, records.FLIPS, tmp_path / name / "flips.parquet")
    first, second = (tmp_path / name / "flips.parquet" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert list(records.read(first, records.FLIPS).columns) == list(records.FLIPS)
    assert [path.name for path in first.parent.iterdir()] == ["flips.parquet"]
    first.write_bytes(first.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"flips\.parquet"):
        records.read(first, records.FLIPS)
