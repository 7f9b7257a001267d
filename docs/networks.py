"""Run networks × attacks × detectors, and write `networks.md`: python docs/networks.py RESULTS.

Each network has a folder in RESULTS with its suite, its weights and its cells. A later call runs
only cells that are missing. The page shows all networks whose facts are in RESULTS.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from network_matrix import weights
from network_matrix.cases import ATTACKS, DETECTORS, HEAD, Case, built_in, of_files
from network_matrix.page import page

PAGE = Path(__file__).with_name("networks.md")
FILES = {
    "cifar10": "folder of CIFAR-10 with train and test",
    "resnet20": "weights of ResNet-20 for CIFAR-10",
    "resnet56": "weights of ResNet-56 for CIFAR-10",
    "imagenette": "folder of Imagenette at 224×224 with train and test",
    "efficientnet-lite0": "weights of EfficientNet-Lite0 for ImageNet",
}
SECOND = "needs a second victim, and weights have no second training"


def run(case: Case, home: Path, order: int) -> None:
    """Check a network, run its suite without the rows that it cannot have, and store its facts."""
    home.mkdir(parents=True, exist_ok=True)
    weights.prepare(case, home)
    suite = home / "suite.toml"
    suite.write_text(case.suite(home, ATTACKS, DETECTORS))
    clauses = checked(case, home)
    if any(row["outcome"] == "failed" for row in clauses.values()):
        sys.exit(f"{case.name} fails the check: {home / 'check.log'}")
    reasons = refusals(clauses)
    smooth = clauses["local_linearity"]["note"].startswith("not")
    failures = dict[str, str]()
    for number, text in enumerate(case.suites(home, reasons, smooth), 1):
        suite.write_text(text)
        done = command("run", suite, "--results", home, "--jobs", "1")
        (home / f"run-{number}.log").write_text(done.stdout + done.stderr)
        failed = pd.read_parquet(home / "network" / "failures.parquet")
        failures |= dict(zip(failed.cell, failed.reason, strict=True))
    facts = case.facts() | {"order": order, "clauses": clauses, "reasons": reasons}
    facts |= numbers(home / "network") | {"failures": failures}
    (home / "facts.json").write_text(json.dumps(facts, indent=1))


def checked(case: Case, home: Path) -> dict[str, Any]:
    """Return the clauses of `evil-twins check --model` by name."""
    line = ["check", "--model", case.place(home), "--data", case.data, "--format", "json"]
    if case.weights:
        line += ["--weights", str(home / case.weights)]
    if case.normalise:
        line += ["--normalise", "/".join(",".join(map(str, part)) for part in case.normalise)]
    if case.classes:
        line += ["--classes", ",".join(case.classes)]
    check = command(*line, "--suite", home / "suite.toml")
    (home / "check.log").write_text(check.stdout + check.stderr)
    return {row["clause"]: row for row in json.loads(check.stdout)["clauses"]}


def refusals(clauses: dict[str, Any]) -> dict[str, str]:
    """Return the rows and columns that a network cannot have, each with its reason."""
    reasons = dict[str, str]()
    if clauses["last_layer"]["outcome"] != "passed":
        reasons |= dict.fromkeys(HEAD, clauses["last_layer"]["fault"])
    if clauses["second_derivatives"]["outcome"] != "passed":
        reasons["curvature"] = clauses["second_derivatives"]["fault"]
    if clauses["accurate"]["outcome"] != "n/a":
        reasons["disagreement"] = SECOND
    return reasons


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the program on one core."""
    line = [sys.executable, "-m", "evil_twins", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=environment)


def numbers(folder: Path) -> dict[str, Any]:
    """Read the results of a suite: commit, accuracy, targets at κ, seconds."""
    seconds = _seconds(folder)
    attacks, targets = dict[str, Any](), pd.read_parquet(folder / "targets.parquet")
    for (name, phi), group in targets.groupby(["attack", "phi"], dropna=False):
        row = f"{name}, φ {phi:g}" if len(set(targets.phi[targets.attack == name])) > 1 else name
        time = seconds[f"{name} κ={group.kappa.iloc[0]:g} φ={phi:g}"][-1]
        attacks[row] = int(group.at_kappa.sum()), len(group), time
    return {
        "commit": json.loads((folder / "run.json").read_text())["code"]["commit"],
        "accuracy": float(pd.read_parquet(folder / "victims.parquet").accuracy.iloc[0]),
        "attacks": attacks,
        "detectors": {name: median(seconds[name]) for name in DETECTORS if seconds[name]},
    }


def _seconds(folder: Path) -> dict[str, list[float]]:
    """Return the seconds of attack cells by title, and of score cells by detector, in order."""
    seconds = defaultdict[str, list[tuple[str, float]]](list)
    for path in folder.glob("cells/*/[!.]*/cell.json"):
        cell = json.loads(path.read_text())
        facts = json.loads(path.with_name("provenance.json").read_text())
        if cell["kind"] in ("attack", "score"):
            name = cell["title"].split(" × ")[0]
            seconds[name].append((facts["finished"], facts["seconds"]))
    ordered = {name: [time for _, time in sorted(pairs)] for name, pairs in seconds.items()}
    return defaultdict(list, ordered)


def main() -> None:
    """Run the networks of the command line, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="the folder of results")
    parser.add_argument("--only", nargs="*", help="names of networks; by default all")
    for name, text in FILES.items():
        parser.add_argument(f"--{name}", type=Path, help=text)
    options = parser.parse_args()
    results = options.results.absolute()
    results.mkdir(parents=True, exist_ok=True)
    cifar10 = weights.subset(options.cifar10, results / "cifar10", 60)
    imagenette = weights.subset(options.imagenette, results / "imagenette", 40)
    cases = built_in(weights.digits(results)) + of_files(vars(options), cifar10, imagenette)
    for order, case in enumerate(cases):
        if not options.only or case.name in options.only:
            run(case, results / case.folder, order)
            PAGE.write_text(page(results))
            print(case.name, flush=True)
    PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
