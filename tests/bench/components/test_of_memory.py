"""Components that are only in memory."""

import sys

import pytest

from evil_twins.bench.components.of_memory import MemoryComponent


def test_a_class_from_standard_input_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "<stdin>", raising=False)
    cls = type("Local", (), {"__module__": "__main__"})
    assert MemoryComponent("memory:local", {}, cls()).sources == []
    assert MemoryComponent("memory:this", {}, MemoryComponent("", {})).sources != []
