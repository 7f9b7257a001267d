"""The wheel holds the whole package and runs with other projects' packages of the same names."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"api": "evil_twins"} | {
    room: f"evil_twins/{room}" for room in ("attacks", "bench", "detectors")
}
BUILD = "import setuptools.build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build wheel and sdist of a copy of the checkout; return their folder."""
    source = tmp_path_factory.mktemp("source")
    for name in (*ROOMS, "docs", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.suffix in {".toml", ".md", ".cff", ".in", ".ini"} or path.name == "LICENSE":
            shutil.copy(path, source)
    subprocess.run([sys.executable, "-c", BUILD], cwd=source, check=True, capture_output=True)
    return source / "dist"


def test_the_wheel_holds_every_file_of_the_package(dist: Path) -> None:
    """All modules, suites, rules and templates; `py.typed` too."""
    (wheel,) = dist.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = {
        f"{package}/{path.relative_to(ROOT / room).as_posix()}"
        for room, package in ROOMS.items()
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files
    assert "evil_twins/py.typed" in packed


def test_the_sdist_holds_the_documents(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        packed = {name.partition("/")[2] for name in content.getnames()}
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages | {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"} <= packed


def test_the_wheel_runs_with_foreign_packages_of_the_same_names(dist: Path, tmp_path: Path) -> None:
    """With the dependencies and another project's `detectors` and `bench`."""
    environment = tmp_path / "environment"
    venv.create(environment)
    python = environment / "bin" / "python"
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = environment.glob("lib/*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    for name in ("detectors", "bench"):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("raise RuntimeError('a foreign package')\n")
    shutil.copytree(ROOT / "results" / "reference" / "quick", tmp_path / "results" / "quick")

    def run(*command: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            command, cwd=tmp_path, env=clean, check=True, capture_output=True, text=True
        ).stdout

    place = run(str(python), "-c", "import evil_twins; print(evil_twins.__file__)")
    assert Path(place.strip()).is_relative_to(site)
    program = str(environment / "bin" / "evil-twins")
    assert "gtsrb-small" in run(program, "list")
    assert "cells" in run(program, "plan", "quick", "--results", "results")
    assert "untouched" in run(program, "table", "quick", "--results", "results")
