"""Endpoints that failed their audit, and the claims that they bar."""

from collections.abc import Iterator, Sequence

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.gather import Population
from evil_twins.bench.analysis.tables.text import level


def barred(population: Population, letter: str) -> str:
    """Return the failed endpoints by which a claim divides, in words; empty if there are none.

    An endpoint fails at the median or at the 90th percentile. A statistic divides by those of its
    own victim, so that one victim is enough.
    """
    rule, efficacy = population.rules.claims[letter], population.victims[0].efficacy
    kappas = {"": (), "kappa": (efficacy.kappa,), "kappas": efficacy.kappas}[rule.endpoints]
    failed: dict[str, list[str]] = {}
    for of in population.victims:
        for end in _ends(of, kappas, retrained=bool(rule.retrained)):
            failed.setdefault(end, []).append(str(of.scope.key["seed"]))
    return _listed(failed, len(population.victims))


def failures(population: Population) -> str:
    """Return all endpoints of the sweep that failed at κ of this efficacy, in words."""
    failed: dict[str, list[str]] = {}
    for of in population.victims:
        for end in _failed(of, of.efficacy.kappas):
            failed.setdefault(end, []).append(str(of.scope.key["seed"]))
    return _listed(failed, len(population.victims))


def _ends(of: Evidence, kappas: Sequence[float], *, retrained: bool) -> Iterator[str]:
    yield from _failed(of, kappas)
    for other in of.after.values() if retrained else ():
        yield from (f"{end} after re-training" for end in _failed(other, kappas))


def _failed(of: Evidence, kappas: Sequence[float]) -> Iterator[str]:
    audit = of.audited[of.audited["kappa"].isin(kappas)]
    for end in audit.itertuples():
        name = f"{end.attack} κ {level(float(str(end.kappa)))} ({end.quantity}"
        if not end.passed:
            yield f"{name})"
        elif not end.p90_passed:
            yield f"{name}, 90th percentile)"


def _listed(failed: dict[str, list[str]], victims: int) -> str:
    if victims == 1:
        return ", ".join(failed)
    return ", ".join(f"{end} of seed {', '.join(seeds)}" for end, seeds in failed.items())
