"""Words for the user about images that were read otherwise than they are stored, or not at all."""

from collections.abc import Iterator

from evil_twins.bench.subjects.parts import Tally

SHOWN = 3
"""Number of unreadable files that are named."""


def tally_lines(tally: Tally, place: str) -> Iterator[str]:
    """Yield lines for the user with the numbers of a place."""
    for verb, counts in (("converted", tally.converted), ("skipped", tally.skipped)):
        if counts:
            items = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
            yield f"{place}: {verb}: {items}"
    if tally.unreadable:
        names = ", ".join(f"{name} ({why})" for name, why in [*tally.unreadable.items()][:SHOWN])
        others = len(tally.unreadable) - SHOWN
        ending = f" and {others} more" if others > 0 else ""
        yield f"{place}: skipped, unreadable: {names}{ending}"
