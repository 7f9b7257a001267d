"""The score cell of a detector of models: one score for each model that targets of a cell face.

The scores are stored as facts in details.parquet; scores.parquet has no line, so that nothing that
counts inputs counts models.
"""

import copy

import pandas as pd

from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.faced import faced_models
from evil_twins.bench.cells.fitting import Defender
from evil_twins.bench.cells.work import Work
from evil_twins.bench.store import records


def run(work: Work) -> None:
    """Inspect every model once; store the parts of details and of scores, which is empty."""
    defender = Defender.of(work)
    attack, dataset = work.parents["attack"], work.dataset.name
    targets = records.read(attack / "targets.parquet", records.PARTS["targets"])
    models = faced_models(attack, work.victim, len(targets), work.device)
    first = targets.drop_duplicates("group") if models.parameters else targets[:1]
    values = [
        # All models get the same random numbers: scores differ only by the models.
        defender.inspect(copy.deepcopy(models[i]), seeds.generator(dataset, "", "detector", 0))
        for i in first.index
    ]
    facts = {"target_id": first["target_id"], "name": records.MODEL_SCORE, "value": values}
    records.write(records.empty(records.SCORES), records.SCORES, work.out / "scores.parquet")
    records.write(pd.DataFrame(facts), records.DETAILS, work.out / "details.parquet")
