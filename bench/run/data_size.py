"""Check the numbers of images and classes of a data set against the needs of a suite."""

from evil_twins.bench.errors import UserError
from evil_twins.bench.subjects.data import Dataset
from evil_twins.bench.subjects.durability import CHANNELS
from evil_twins.bench.suite.suite import Suite
from evil_twins.detectors.base import Contrasting


def check_classes(suite: Suite, data: Dataset) -> None:
    """Check that every image has a goal class, and every detector enough classes.

    Raises:
        UserError: There are too few classes.
    """
    count = len(data.classes)
    if count < 2:
        raise UserError(
            f"{data.name} has {count} class, so that no image has another class as its goal",
            "expected: two classes or more",
        )
    for column in suite.columns:
        detector = column.detector.build()
        if isinstance(detector, Contrasting) and count < detector.min_classes:
            raise UserError(
                f"detector {column.label!r} needs {detector.min_classes} classes; {data.name} has "
                f"{count}",
                "remedy: remove it from the suite, or use other data",
            )


def check_channels(suite: Suite, data: Dataset) -> None:
    """Check that images can arrive as JPEG, if the suite asks for it.

    Raises:
        UserError: They have neither 1 nor 3 channels.
    """
    channels = data.train.pixels.shape[1]
    if suite.durability is not None and channels not in CHANNELS:
        raise UserError(
            f"[durability] stores images as JPEG; those of {data.name} have {channels} channels",
            "expected: 1 or 3 channels",
            "remedy: remove [durability] from the suite",
        )


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
                f"the split {split!r} of {data.name} holds no image",
                f"remedy: a larger splits.{split}, or a data set with more test images",
            )
    if sizes[targets.list] <= targets.after:
        raise UserError(
            f"the list {targets.list!r} of {data.name} has {sizes[targets.list]} targets; the "
            f"suite skips {targets.after}",
            "remedy: set targets.after to less",
        )
    available: dict[str, int] = {targets.list: sizes[targets.list] - targets.after}
    available |= {split: sizes[split] for split in ("calibration", "fpr")}
    for split, size in available.items():
        if size < targets.count:
            skipped = targets.after and split == targets.list
            ending = f" after the first {targets.after}" if skipped else ""
            raise UserError(
                f"{targets.count} targets are needed; the split {split!r} of {data.name} has "
                f"{size}{ending}",
                f"remedy: set targets.count to {min(available.values())} or less",
            )
