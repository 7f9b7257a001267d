"""The verdicts on one population, for files, terminal and page."""

from dataclasses import dataclass

from evil_twins.bench.analysis.claims.gather import PAPER, Population
from evil_twins.bench.analysis.claims.judge import Verdict
from evil_twins.bench.analysis.claims.rules import ALIASES
from evil_twins.bench.analysis.tables import text
from evil_twins.bench.analysis.tables.text import level


@dataclass(frozen=True, eq=False)
class Judged:
    """The verdicts on one population.

    Attributes:
        population: The victims under one sweep.
        is_primary: Whether it is the one that the rules judge.
        verdicts: One per claim, in the order of the rules.
    """

    population: Population
    is_primary: bool
    verdicts: tuple[Verdict, ...]

    @property
    def role(self) -> str:
        """The word "primary" or "replication"."""
        return "primary" if self.is_primary else "replication"

    @property
    def is_single(self) -> bool:
        """Whether there is one victim, about which nothing is decided."""
        return len(self.population.victims) == 1

    @property
    def efficacy(self) -> str:
        """The efficacy in words."""
        kappas = " and ".join(map(level, self.population.victims[0].efficacy.kappas))
        return f"κ {kappas}{' of the paper' * (self.population.efficacy == PAPER)}"

    @property
    def title(self) -> str:
        """The population in words, with its efficacy and role."""
        key, victims = self.population.key, self.population.victims
        attack = f"{key['attack']}, {key['layers']}" if key["attack"] else "no sweep along φ"
        recipe = f"{key['dataset']}, {key['victim']}"
        number = f"{len(victims)} victims"
        if self.is_single:
            number = f"seed {victims[0].scope.key['seed']}"
        return text.one_line(f"{recipe}, {number}: {attack}, {self.efficacy} ({self.role})")

    def claim(self, verdict: Verdict) -> str:
        """Return the claim of a verdict in words."""
        return self.population.rules.claims[verdict.letter].title

    def paper(self, verdict: Verdict) -> str:
        """Return the statement of the paper about a claim on this data set, or an empty string."""
        dataset = str(self.population.key["dataset"])
        return self.population.rules.claims[verdict.letter].statement(ALIASES.get(dataset, dataset))
