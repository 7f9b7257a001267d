"""The page about models and images of users is true."""

import re
from pathlib import Path

import pytest
import torch
import torchvision

from evil_twins.bench.run.plan import plan
from evil_twins.bench.subjects.data import load
from evil_twins.bench.suite import suite
from tests.api import small_networks
from tests.bench import suites
from tests.bench.pictures import picture
from tests.bench.suites import doubt, shift
from tests.pages import DOCS, ROOT, blocks


def test_weights_are_stored_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks(DOCS / "own.md", "python")[1], "docs/own.md", "exec"), {})
    (key,) = re.findall(r'`(weights = "[^`]+)`', (DOCS / "own.md").read_text())
    head = suites.HEAD.replace("recipe = { epochs = 2 }", key)
    loaded = suite.load(suites.write(tmp_path, shift(), doubt(), head=head))
    assert plan(loaded, load("digits"), "cpu").cells


def test_a_network_and_a_folder_make_a_suite_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "own.md"
    (text,) = blocks(page, "toml")
    assert len(text.splitlines()) <= 10
    Path("own.toml").write_text(text)
    (needed,) = re.findall(r"40 targets take\s+(\d+) test images", page.read_text())
    for half in re.findall(r"(?m)^images/(\w+)/<class>/\*$", page.read_text()):
        for i in range(int(needed)):
            picture(Path("images") / half / ("cat", "dog")[i % 2] / f"{i}.png")
    with torch.random.fork_rng(devices=[]):
        torch.save(torchvision.models.resnet18(num_classes=2).state_dict(), "w.pt")
    loaded = suite.load("own.toml")
    cells = plan(loaded, load(loaded.dataset, size=loaded.size), "cpu").cells
    assert {cell.kind for cell in cells.values()} == {"victim", "fit", "attack", "benign", "score"}


def test_a_network_in_memory_is_judged_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = small_networks.data()
    scope = {"network": small_networks.trained(), "x": x, "y": y}
    exec(compile(blocks(DOCS / "own.md", "python")[0], "docs/own.md", "exec"), scope)
    exec(compile(blocks(ROOT / "README.md", "python")[2], "README.md", "exec"), scope)
    assert capsys.readouterr().out.count("curvature") >= 2
