"""The fit cell: the part of a detector that depends only on clean data."""

from evil_twins.bench.cells import seeds
from evil_twins.bench.cells.fitting import prepare
from evil_twins.bench.cells.stored import save_tensors
from evil_twins.bench.cells.work import Work
from evil_twins.bench.store.checksums import PREPARED


def run(work: Work) -> None:
    """Run the preparation on the training images; store its tensors."""
    data = work.dataset
    holder, draw = work.spec.get("holder", ""), work.spec["dataset"].get("draw", 0)
    draws = seeds.generator(data.name, holder, "preparation", draw)
    benign, name = data.train.x.to(work.device), f"detector {work.label!r}"
    save_tensors(prepare(work.build().preparation, benign, draws, name), work.out / PREPARED)
