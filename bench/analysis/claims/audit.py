"""Endpoints that failed their audit, and the claims that they bar."""

from collections.abc import Iterable, Iterator, Sequence

from evil_twins.bench.analysis.claims.evidence import Evidence
from evil_twins.bench.analysis.claims.gather import Population
from evil_twins.bench.analysis.tables.text import level


def barred(population: Population, letter: str) -> str:
    """Return the failed endpoints by which a claim divides, in words; empty if there are none.

    An endpoint fails at the median or at the 90th percentile, over the targets of all victims.
    """
    rule, efficacy = population.rules.claims[letter], population.victims[0].efficacy
    kappas = {"": (), "kappa": (efficacy.kappa,), "kappas": efficacy.kappas}[rule.endpoints]
    return _listed(
        end
        for of in population.victims
        for end in _ends(of, kappas, retrained=bool(rule.retrained))
    )


def failures(population: Population) -> str:
    """Return all endpoints of the sweep that failed at κ of this efficacy, in words."""
    return _listed(end for of in population.victims for end in _failed(of, of.efficacy.kappas))


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


def _listed(failed: Iterable[str]) -> str:
    """Write each failed endpoint once: the victims of a recipe share their audit."""
    return ", ".join(dict.fromkeys(failed))
