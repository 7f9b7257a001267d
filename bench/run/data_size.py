"""Check the number of images of a data set against the needs of a suite."""

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.suite.suite import Suite


def check_splits(suite: Suite, data: Dataset) -> None:
    """Check that no split is empty, and that there are images enough for every target.

    Raises:
        UserError: A split is too small.
    """
    targets = suite.targets
    splits: tuple[str, ...] = ("fit", "calibration", "fpr", "heldout", targets.list)
    sizes = {split: len(getattr(data, split)) for split in splits}
    for split, size in sizes.items():
        if not size:
            raise UserError(
                f"the split {split!r} of {data.name} holds no image\n"
                f"remedy: a larger splits.{split}, or a data set with more test images"
            )
    if sizes[targets.list] <= targets.after:
        raise UserError(
            f"the list {targets.list!r} of {data.name} has {sizes[targets.list]} targets; the "
            f"suite skips {targets.after}\nremedy: set targets.after to less"
        )
    available: dict[str, int] = {targets.list: sizes[targets.list] - targets.after}
    available |= {split: sizes[split] for split in ("calibration", "fpr")}
    for split, size in available.items():
        if size < targets.count:
            skipped = targets.after and split == targets.list
            ending = f" after the first {targets.after}" if skipped else ""
            raise UserError(
                f"{targets.count} targets are needed; the split {split!r} of {data.name} has "
                f"{size}{ending}\n"
                f"remedy: set targets.count to {min(available.values())} or less"
            )
