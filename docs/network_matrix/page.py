"""Write the page `networks.md` from the facts of a folder of results."""

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .cases import (
    ATTACKS,
    BENIGN,
    DETECTORS,
    EPOCHS,
    KAPPA,
    PASSES,
    TARGETS,
)

INTRODUCTION = """# Networks

Which attacks and detectors work on which networks. `docs/networks.py` writes this page, here
with version {version} of evil-twins (commit {commits}), torch {torch}, torchvision {torchvision}
and timm {timm}, on one thread of a processor that other programs used too. The tables show that
rows and columns *run* and that targets come to κ. They do not judge a detector: a row has
{targets} targets, a threshold {benign} benign images, and attacks few rounds.

- *Digits* are the real digits from 0 to 3 of scikit-learn, enlarged to 3×32×32. Networks are
  trained on 360 of them from random weights, in at most {epochs} passes by the script
  or in {passes} by the suite.
- *CIFAR-10* and *Imagenette* are copies with JPEG compression, of which a suite gets the first
  images of each class. Their networks have published weights.
- PGD is l∞; κ is {kappa}. Attacks on *all* layers take a minibatch of 16 reference images and a
  thousandth of a Newton step, which may move the margin by 5 logits, so that few rounds suffice.
"""
FACTS = [
    *("network", "images", "weights", "parameters", "accuracy", "batch-norms"),
    *("locally linear", "head", "`check --model`"),
]
NAMES = ["network"]
SCORED = (
    "Seconds in which a detector scores a row, the median over rows: the targets, and the benign "
    "images under\neach faced model. Curvature of a network that is not locally linear has the row "
    "PGD and two benign images."
)
TRAINING = {"script": "trained here", "suite": "trained by the suite", "file": "published"}


class Notes:
    """Reasons with their numbers, in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """Return the mark of a reason."""
        if text not in self.texts:
            self.texts.append(text)
        return f"no [{self.texts.index(text) + 1}]"


def page(results: Path) -> str:
    """Return the page of all networks whose facts are in a folder."""
    stored = [json.loads(path.read_text()) for path in results.glob("*/facts.json")]
    stored.sort(key=lambda facts: facts["order"])
    numbers = {"targets": TARGETS, "benign": BENIGN, "kappa": KAPPA, "epochs": EPOCHS}
    numbers["passes"] = PASSES
    packages = {name: version(name) for name in ("torch", "torchvision", "timm")}
    packages["commits"] = ", ".join(sorted({str(facts["commit"])[:8] for facts in stored}))
    text = INTRODUCTION.format(version=version("evil-twins"), **packages, **numbers)
    notes = Notes()
    parts = [
        f"{text}\n## The networks\n",
        *_table(FACTS, [_described(facts) for facts in stored]),
        "\n## Attacks\n\nTargets at κ / targets, and seconds of the attack on all of them.\n",
        *_table([*NAMES, *rows(), "rounds of all layers"], [_attacked(f, notes) for f in stored]),
        f"\n## Detectors\n\n{SCORED}\n",
        *_table([*NAMES, *DETECTORS], [_scored(facts, notes) for facts in stored]),
        "",
        *(f"- [{number}] {reason}" for number, reason in enumerate(notes.texts, 1)),
    ]
    return "\n".join(parts) + "\n"


def rows() -> list[str]:
    """Return the names of all rows, one for each φ."""
    names = []
    for name, text in ATTACKS.items():
        phis = re.search(r"phi = \[(.*)\]", text)
        names += [f"{name}, φ {phi}" for phi in phis[1].split(", ")] if phis else [name]
    return names


def _described(facts: dict[str, Any]) -> list[str]:
    clauses = facts["clauses"]
    warnings = [name for name, row in clauses.items() if row["outcome"] in ("warning", "failed")]
    last, norms = clauses["last_layer"], clauses["batch_norm"]
    linear = "no" if clauses["local_linearity"]["note"].startswith("not") else "yes"
    return [
        facts["name"],
        facts["images"],
        TRAINING[facts["training"]],
        clauses["loads"]["note"].split()[0],
        f"{facts['accuracy']:.2f}",
        norms["note"] or norms["fault"] or "none",
        linear,
        f"`{last['note'].split(',')[0]}`" if last["outcome"] == "passed" else "no linear layer",
        f"warns of {', '.join(warnings)}" if warnings else "passed",
    ]


def _attacked(facts: dict[str, Any], notes: Notes) -> list[str]:
    cells = [_cell(facts, name, notes) for name in rows()]
    return [facts["name"], *cells, str(facts["rounds"])]


def _cell(facts: dict[str, Any], name: str, notes: Notes) -> str:
    if reason := facts["reasons"].get(name.split(", φ")[0]):
        return notes.mark(reason)
    if name not in facts["attacks"]:
        failed = facts["failures"].items()
        return notes.mark(next(text for cell, text in failed if cell.startswith(name[:9])))
    right, count, seconds = facts["attacks"][name]
    return f"{right}/{count}, {_short(seconds)}"


def _scored(facts: dict[str, Any], notes: Notes) -> list[str]:
    cells = []
    for name in DETECTORS:
        if reason := facts["reasons"].get(name):
            cells.append(notes.mark(reason))
        else:
            failed = [text for cell, text in facts["failures"].items() if cell.startswith(name)]
            seconds = facts["detectors"].get(name)
            cells.append(notes.mark(failed[0]) if failed or not seconds else _short(seconds))
    return [facts["name"], *cells]


def _short(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _table(columns: list[str], lines: list[list[str]]) -> list[str]:
    marks = [":--"] + ["--:"] * (len(columns) - 1)
    return [f"| {' | '.join(line)} |" for line in [columns, marks, *lines]]
