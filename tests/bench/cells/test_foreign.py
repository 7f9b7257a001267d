"""Cells in whose process names are compared: those that run code of others."""

from dataclasses import replace
from pathlib import Path

import pytest

from evil_twins.bench.cells.execute import Job
from evil_twins.bench.components.component import Component
from evil_twins.bench.subjects.networks.network import Network

OURS = Job("score", "a", "a", "a", None, {"dataset": {"name": "digits"}}, "", {})
CASES = {
    "a file": replace(OURS, component=Component("mine.py:Mine", {})),
    "an adapter": replace(
        OURS, component=Component("evil_twins.bench.components.adapters.art:APGD", {})
    ),
    "an evaded file": replace(OURS, evade=(Component("mine.py:Mine", {}),)),
    "a data set": replace(OURS, spec={"dataset": {"name": "mine", "code": "0"}}),
    "a network": replace(OURS, network=Network(str(Path("mine.py:build")))),
}


@pytest.mark.parametrize("case", CASES)
def test_code_of_others_is_foreign(case: str) -> None:
    assert CASES[case].foreign


@pytest.mark.parametrize("place", ["attacks.pgd:PGD", "detectors.curvature:Curvature"])
def test_methods_of_this_project_are_not(place: str) -> None:
    assert not OURS.foreign
    assert not replace(OURS, component=Component(f"evil_twins.{place}", {})).foreign
