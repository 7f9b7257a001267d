"""A finished cell whose checksums hold may still have files of another form."""

from pathlib import Path

import pandas as pd
import pytest

from evil_twins.bench.errors import Fault
from evil_twins.bench.store.cells import Store
from evil_twins.bench.store.soundness import damage, verify

DATASET = {"name": "digits", "size": None, "digest": "0" * 64}
SPEC = {"dataset": DATASET, "device": "cpu", "threads": 1, "architecture": "resnet-tiny"}


def test_a_file_of_another_form_is_damage_though_its_checksum_holds(tmp_path: Path) -> None:
    store = Store(tmp_path / "cells")
    folder = store.begin("victim", "a")
    pd.DataFrame({"accuracy": ["high"], "images": ["many"]}).to_parquet(folder / "victim.parquet")
    facts = {"title": "a", "spec": SPEC, "parents": {}, "versions": {}}
    sidecar = {"seconds": 1.0, "machine": {"host": "here"}}
    store.commit("victim", "a", folder, facts, sidecar)
    assert damage(store.path("victim", "a")) == ["victim.parquet"]
    assert damage(store.path("victim", "a")) == ["victim.parquet"]  # it is not kept as checked
    with pytest.raises(Fault, match=r"victim\.parquet is missing or damaged"):
        verify(store.path("victim", "a"))
