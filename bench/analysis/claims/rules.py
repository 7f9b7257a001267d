"""Rules by which the paper's claims are judged, read from rules.toml."""

import tomllib
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

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
        resamples: Number of bootstrap samples.
        fpr: False-positive rate of every decision.
    """

    level: float
    resamples: int
    fpr: float


class Primary(_Table):
    """The suite, victim seed and attack that are judged; everything else replicates them."""

    suite: str
    seed: int
    attack: str
    layers: str
    kappa: float


class Sweep(_Table):
    """The sweep that is judged: norm, efficacies, and levels of φ with those of pure attacks."""

    norm: str
    kappas: tuple[float, ...]
    grid: tuple[float, ...]


class Rule(_Table):
    """One claim.

    Attributes:
        title: The claim in words.
        statistic: The statistic that is compared with the margins.
        margins: Margins by name of the quantity.
        endpoints: Whether a loss is divided by that of a pure attack. If so, the audit of the
            endpoints must not fail.
        levels: Values of φ.
        limit: A number of rounds.
        detectors: Detectors that are judged: name -> label in the records.
        supplementary: Detectors that are shown and not judged: name -> label in the records.
        labels: Attacks that are judged: name -> label in the records.
        share: Share of the mean KL of a target's Poisoning.
        retrained: Suite -> the suite that attacks its re-trained victim.
        paper: Data set -> statement of the paper or its authors' code; "every" means all.
    """

    title: str
    statistic: str
    margins: dict[str, float]
    endpoints: bool = False
    levels: tuple[float, ...] = ()
    limit: int = 0
    detectors: dict[str, str] = {}
    supplementary: dict[str, str] = Field(default={}, alias="beside")
    labels: dict[str, str] = {}
    share: float = 0.0
    retrained: dict[str, str] = {}
    paper: dict[str, str] = {}

    def statement(self, dataset: str) -> str:
        """Return the statement of the paper about a data set, or an empty string."""
        return self.paper.get(dataset, self.paper.get(EVERY, ""))


class Rules(_Table):
    """A version of the rules; `claims` by letter."""

    version: int
    test: Test
    primary: Primary
    sweep: Sweep
    claims: dict[str, Rule]


@lru_cache(maxsize=1)
def rules() -> Rules:
    """Return the rules of this version of the package."""
    return Rules.model_validate(tomllib.loads(_PLACE.read_text(encoding="utf-8")))


def retrained(results: Path, suite: str) -> Path | None:
    """Return the folder of the suite against the re-trained victim, or None without records."""
    folder = results / rules().claims["j"].retrained.get(suite, suite)
    stored = files.present(folder / "targets.parquet", results)
    return folder if folder.name != suite and stored else None


ALIASES = MappingProxyType({"isic2018": "isic"})
"""Data sets with another name in the paper."""
