"""Plan of a suite: its cells and their parents, before anything is run."""

from evil_twins.bench.errors import UserError
from evil_twins.bench.run.planner import Planner
from evil_twins.bench.run.shards import Plan as Plan
from evil_twins.bench.run.shards import Shard as Shard
from evil_twins.bench.run.victim_cells import VictimCells
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.suite.suite import Suite


def plan(suite: Suite, data: Dataset, device: str) -> Plan:
    """Return the cells of a suite.

    Args:
        suite: The suite.
        data: Its data set.
        device: "cpu" or "cuda".

    Raises:
        UserError: The data set holds too few images, the recipe is wrong, or the weights do not
            fit.
    """
    planner = Planner(suite, data, device)
    victims = [VictimCells(planner, draw) for draw in range(len(suite.seeds))]
    if len({victim.key for victim in victims}) < len(victims):
        raise UserError(
            f"two of the {len(victims)} victims have the same weights",
            "remedy: name each file of weights once",
        )
    shards = tuple(shard for victim in victims for shard in victim.shards())
    keys = {victim.seed: victim.key for victim in victims}
    return Plan(planner.cells, keys, shards, planner.doubts)
