"""The victim cell: train a classifier, store it and its accuracy on the official test split."""

import pandas as pd

from bench import records, victims
from bench.cells.hold import Work
from bench.victims import Recipe


def run(work: Work) -> None:
    """Train; leaves victim.safetensors and victim.parquet."""
    data, spec = work.dataset, work.spec
    model = victims.train(
        data.train,
        spec["architecture"],
        len(data.classes),
        Recipe(**spec["recipe"]),
        spec["seed"],
        work.device,
        lambda share: None,
    )
    test = [data.fit, data.calibration, data.fpr, data.heldout, data.development, data.confirmatory]
    right = sum(victims.accuracy(model, images) * len(images) for images in test if len(images))
    count = sum(len(images) for images in test)
    victims.save(model, work.out / "victim.safetensors")
    line = pd.DataFrame({"accuracy": [right / count], "images": [count]})
    records.write(line, records.VICTIMS, work.out / "victim.parquet")
