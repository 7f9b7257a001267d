"""The rules by which the paper's claims are judged, read from the TOML beside this file."""

import tomllib
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

_PLACE = Path(__file__).with_name("rules.toml")
EVERY = "every"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Test(_Table):
    """What all tests share.

    Attributes:
        level: Of the Holm-adjusted one-sided p-value.
        resamples: Samples of the bootstrap.
        fpr: False-positive rate of every decision.
    """

    level: float
    resamples: int
    fpr: float


class Primary(_Table):
    """The one suite, victim seed and attack that is judged; everything else replicates it."""

    suite: str
    seed: int
    attack: str
    layers: str
    kappa: float


class Sweep(_Table):
    """The sweep that is judged: norm, efficacies, and the levels of φ, pure attacks included."""

    norm: str
    kappas: tuple[float, ...]
    grid: tuple[float, ...]


class Rule(_Table):
    """One claim.

    Attributes:
        title: The claim in words.
        statistic: What is held against the margins.
        margins: By name of the quantity.
        endpoints: Whether something is divided by the loss of a pure attack: then the audit of
            the endpoints must not have failed.
        levels: Values of φ.
        limit: A number of rounds.
        detectors: What is judged -> label of the detector in the records.
        beside: The same for what is only told.
        labels: What is judged -> label of the attack in the records.
        share: Of the mean KL of a target's Poisoning.
        retrained: Suite -> the suite that attacks its victim re-trained, and is read beside it.
        paper: Data set -> what the paper, or its authors' code, says; "every" stands for all.
    """

    title: str
    statistic: str
    margins: dict[str, float]
    endpoints: bool = False
    levels: tuple[float, ...] = ()
    limit: int = 0
    detectors: dict[str, str] = {}
    beside: dict[str, str] = {}
    labels: dict[str, str] = {}
    share: float = 0.0
    retrained: dict[str, str] = {}
    paper: dict[str, str] = {}

    def said(self, dataset: str) -> str:
        """What the paper says of this data set; empty if nothing is known."""
        return self.paper.get(dataset, self.paper.get(EVERY, ""))


class Rules(_Table):
    """One version of the rules; `claims` by letter."""

    version: int
    test: Test
    primary: Primary
    sweep: Sweep
    claims: dict[str, Rule]


@lru_cache(maxsize=1)
def rules() -> Rules:
    """The rules of this version of the package."""
    return Rules.model_validate(tomllib.loads(_PLACE.read_text(encoding="utf-8")))


# What the paper calls its data sets, where a suite's records say it otherwise.
ALIASES = MappingProxyType({"isic2018": "isic"})
