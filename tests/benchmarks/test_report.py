"""The page of speeds, from constructed measurements."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks import report


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    def benchmark(name: str, data: list[float], **facts: object) -> dict[str, object]:
        facts |= {"images": "folder:signs", "classes": 43, "training": 900}
        return {"group": "g", "name": name, "extra_info": facts, "stats": {"data": data}}

    benchmarks = [
        benchmark("test_peer[foolbox-as trained]", [4.0, 4.0, 4.2, 3.8]),
        benchmark("test_ours[turn 1]", [2.0, 1.9], votes=12.5),
        benchmark("test_ours[turn 2]", [2.0, 2.1], votes=12.5),
        benchmark("test_fixed[benign]", [8.0, 8.0, 8.0]),
        benchmark("test_ours[attacked]", [1.0, 1.0, 1.0]),
        benchmark("test_single[folder:signs-PGD]", [1.0]),
    ]
    machine = {"cpu": {"brand_raw": "A chip", "count": 2}, "python_version": "3.11"}
    path = tmp_path / "measured.json"
    whole = {"benchmarks": benchmarks, "machine_info": machine, "datetime": "2026-01-02T03"}
    path.write_text(json.dumps(whole))
    return path


def test_ratios_of_medians_with_their_intervals() -> None:
    draw = np.random.default_rng(0)
    slow, fast = draw.normal(6, 0.1, 30), draw.normal(2, 0.1, 30)
    value, low, high = report.ratio(slow, fast)
    assert low < value < high
    assert low < 3 < high
    assert report.ratio(slow[:1], fast) == (slow[0] / np.median(fast),) * 3


def test_a_page_for_each_data_set_and_one_figure(measured: Path, tmp_path: Path) -> None:
    report.main([str(measured), "--into", str(tmp_path / "out")])
    page = (tmp_path / "out" / "signs.md").read_text()
    assert "# Speed: signs, 43 classes, 900 training images" in page
    assert "One thread of A chip, 2 cores" in page
    assert page.count("| ours | 2000 |") == 1  # both turns
    assert "| single, PGD | 1000 |" in page
    assert "votes 12.5" in page
    ratios = pd.read_csv(tmp_path / "out" / "ratios.csv").set_index(["ours", "beside"])["ratio"]
    assert ratios["ours", "foolbox, as trained"] == pytest.approx(2)
    assert ratios["ours", "fixed, benign"] == pytest.approx(4)
    assert ("ours, attacked", "fixed, benign") not in ratios.index  # other inputs
    first = (tmp_path / "out" / "ratios.svg").read_bytes()
    assert first.startswith(b"<?xml")
    assert (tmp_path / "out" / "ratios.png").stat().st_size > 1000
