"""Rules by which the paper's claims are judged, read from rules.toml."""

import tomllib
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evil_twins.bench.store import files

_PLACE = Path(__file__).with_name("rules.toml")
EVERY = "every"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Test(_Table):
    """Settings of all tests.

    Attributes:
        level: Level of the Holm-adjusted one-sided p-value.
        family: Letters of the claims over which Holm's correction goes. Another claim is a family
            of its own.
        victims: The least number of victims of a recipe with which a claim is decided.
        resamples: Number of bootstrap samples for the interval of a single victim.
        fpr: False-positive rate of every decision.
        calibration: The least number of calibration scores of the OR, for each victim.
    """

    level: float
    family: str
    victims: int
    resamples: int
    fpr: float
    calibration: int


class Primary(_Table):
    """The suite and attack that are judged; everything else replicates them."""

    suite: str
    attack: str
    layers: str


class Efficacy(_Table):
    """An efficacy with verdicts of its own.

    Attributes:
        kappa: κ of every claim that says nothing else.
        kappas: κ of the claims that compare several, or must hold at several.
    """

    kappa: float
    kappas: tuple[float, ...]


class Sweep(_Table):
    """The sweep that is judged: norm, and levels of φ with those of pure attacks."""

    norm: str
    grid: tuple[float, ...]


class Rule(_Table):
    """One claim.

    Attributes:
        title: The claim in words.
        statistic: The statistic that is compared with the margins.
        margins: Margins by name of the quantity.
        endpoints: The efficacies at which a loss is divided by that of a pure attack: "kappa",
            "kappas" (all) or none. There the audit of the endpoints must not fail.
        levels: Values of φ.
        limit: A number of rounds.
        detectors: Detectors that are judged: name -> label in the records.
        supplementary: Detectors that are shown and not judged: name -> label in the records.
        labels: Attacks that are judged: name -> label in the records.
        share: Share of the mean KL of a target's Poisoning.
        victims: The least number of victims with which it is decided, if it is another one than
            that of the other claims.
        retrained: Suite -> form of re-training -> the suite that attacks its re-trained victims.
        paper: Data set -> statement of the paper or its authors' code; "every" means all.
    """

    title: str
    statistic: str
    margins: dict[str, float]
    endpoints: Literal["", "kappa", "kappas"] = ""
    levels: tuple[float, ...] = ()
    limit: int = 0
    detectors: dict[str, str] = {}
    supplementary: dict[str, str] = Field(default={}, alias="beside")
    labels: dict[str, str] = {}
    share: float = 0.0
    victims: int | None = None
    retrained: dict[str, dict[str, str]] = {}
    paper: dict[str, str] = {}

    def statement(self, dataset: str) -> str:
        """Return the statement of the paper about a data set, or an empty string."""
        return self.paper.get(dataset, self.paper.get(EVERY, ""))


class Rules(_Table):
    """A version of the rules; `efficacies` by name, `claims` by letter."""

    version: int
    test: Test
    primary: Primary
    efficacies: dict[str, Efficacy]
    sweep: Sweep
    claims: dict[str, Rule]


@lru_cache(maxsize=1)
def rules() -> Rules:
    """Return the rules of this version of the package."""
    return Rules.model_validate(tomllib.loads(_PLACE.read_text(encoding="utf-8")))


def retrained(results: Path, suite: str) -> dict[str, Path]:
    """Return the stored folders of the suites against re-trained victims, by form."""
    return {
        form: results / name
        for form, name in rules().claims["j"].retrained.get(suite, {}).items()
        if files.present(results / name / "targets.parquet", results)
    }


ALIASES = MappingProxyType({"isic2018": "isic"})
"""Data sets with another name in the paper."""
