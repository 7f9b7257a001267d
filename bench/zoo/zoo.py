"""Read a zoo, and take the measures of its models anew."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from evil_twins.attacks.models import PairedModels, features_of
from evil_twins.bench.cells.durability import accuracy
from evil_twins.bench.cells.exact_arithmetic import exact
from evil_twins.bench.cells.work import cached_dataset
from evil_twins.bench.components.precision import PRECISIONS, precision
from evil_twins.bench.errors import Fault, UserError, unknown
from evil_twins.bench.store import files, json_files
from evil_twins.bench.store.checksums import checksum
from evil_twins.bench.subjects import data, forms, weights
from evil_twins.bench.subjects.architectures import Classifier
from evil_twins.bench.subjects.data import Images
from evil_twins.bench.subjects.splits import Splits
from evil_twins.bench.zoo import manifest
from evil_twins.bench.zoo.manifest import Effect, Manifest, Model, Victim
from evil_twins.bench.zoo.specimen import Specimen

TOLERANCE = 0.005
"""Largest difference of a share between two machines: float32 sums differ in their last bits."""

CLOSE, TINY = 0.02, 1e-7
"""Largest relative and absolute difference of a KL, in nats."""


@dataclass(frozen=True)
class Zoo:
    """A folder with models, and its manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def read(cls, folder: Path) -> "Zoo":
        """Read the manifest of a zoo.

        Raises:
            UserError: There is none, or it is of another form.
        """
        path = folder.absolute() / manifest.NAME
        if not files.present(path, path.parent):
            raise UserError(
                f"{path.parent} is no zoo: it has no {manifest.NAME}",
                "remedy: `evil-twins zoo write SUITE FOLDER`",
            )
        facts = json_files.read(path, path.parent, Manifest)
        if facts is None:
            raise UserError(f"{path} is damaged, or of another version", "remedy: write it anew")
        return cls(path.parent, facts)

    def entry(self, file: str) -> Victim | Model:
        """Return the entry of a file.

        Raises:
            UserError: There is no such file in the manifest.
        """
        entries: dict[str, Victim | Model] = {each.file: each for each in self.manifest.victims}
        entries |= {each.file: each for each in self.manifest.models}
        if file not in entries:
            raise unknown("model of the zoo", file, entries)
        return entries[file]

    def model(self, file: str) -> Classifier:
        """Return a model as a classifier of its own: frozen, in eval mode, logits from [0, 1].

        Args:
            file: Its file, as the manifest names it.

        Raises:
            UserError: The file is unknown, missing, damaged, or not that of the manifest.
        """
        entry = self.entry(file)
        with self.computing():
            victim = self.victim(entry.file if isinstance(entry, Victim) else entry.victim)
            if isinstance(entry, Victim):
                return victim
            changed = self.specimen(entry, victim).models[0]
            return cast(Classifier, changed.eval().requires_grad_(False))

    def victim(self, file: str) -> Classifier:
        """Read a victim, on the CPU."""
        return weights.load(self._checked(self.entry(file)), self.folder)

    def specimen(self, entry: Model, victim: Classifier) -> Specimen:
        """Read a model with its inputs, over its victim."""
        return Specimen.load(self._checked(entry), victim)

    def _checked(self, entry: Victim | Model) -> Path:
        """Return the path of a file whose content is that of the manifest."""
        path = self.folder / entry.file
        if not files.present(path, self.folder) or checksum(path, self.folder) != entry.sha256:
            raise UserError(
                f"{path} is missing, or not the file of the manifest",
                "remedy: fetch the zoo anew",
            )
        return path

    def computing(self) -> AbstractContextManager[None]:
        """Compute in the precision of the zoo in a block."""
        return precision(PRECISIONS[self.manifest.precision])


@dataclass(frozen=True)
class Finding:
    """The measures of a model in the manifest, and those of now.

    Attributes:
        file: Its file.
        stated: The effect in the manifest.
        measured: The effect now, None where the file is no such model.
        reason: Why it is none, or "".
    """

    file: str
    stated: Effect
    measured: Effect | None
    reason: str = ""

    @property
    def agrees(self) -> bool:
        """Whether everything that was measured is as stated, up to `TOLERANCE`."""
        if self.measured is None:
            return False
        stated, measured = self.stated.kl, self.measured.kl
        return abs(stated - measured) <= CLOSE * max(stated, measured) + TINY and all(
            _near(getattr(self.stated, name), getattr(self.measured, name))
            for name in ("accuracy", "confidence", "asr")
        )

    def words(self) -> str:
        """Write in a line how it disagrees."""
        if self.measured is None:
            return self.reason
        return f"stated {_words(self.stated)}; measured {_words(self.measured)}"


def _words(effect: Effect) -> str:
    numbers = effect.model_dump(exclude={"won"}, exclude_none=True)
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


def _near(stated: float | None, measured: float | None) -> bool:
    if stated is None or measured is None:
        return stated is measured
    return abs(stated - measured) <= TOLERANCE


def verify(zoo: Zoo, root: Path | None) -> Iterator[Finding]:
    """Measure every model of a zoo anew.

    Args:
        zoo: The zoo.
        root: The folder of data sets, or None for the default folder.

    Raises:
        UserError: The data set is missing, or another one.
    """
    facts = zoo.manifest.data
    reader = facts.name.split(":")[0]
    if reader in forms.READERS and root is None:
        raise UserError(f"the images of {facts.name} are needed", "remedy: --data with their place")
    whole = cached_dataset(reader, root, facts.size, Splits(**facts.splits))
    if whole.digest != facts.digest:
        raise UserError(
            f"{whole.name} is another data set than that of the zoo: its SHA-256 is "
            f"{whole.digest[:12]}…",
            f"expected: {facts.digest[:12]}…",
        )
    with zoo.computing(), exact("cpu"):
        for victim in zoo.manifest.victims:
            models = [model for model in zoo.manifest.models if model.victim == victim.file]
            heldout = data.drawn(whole, victim.draw).heldout
            yield from _findings(zoo, victim, models, heldout)


def _findings(
    zoo: Zoo, victim: Victim, models: Iterable[Model], heldout: Images
) -> Iterator[Finding]:
    """Yield the findings of a victim and of its models."""
    try:
        clean = zoo.victim(victim.file)
        if clean.shape != tuple(heldout.pixels.shape[1:]):
            raise Fault(f"its images are {clean.shape}, and not those of the data set")
        right = accuracy(PairedModels(clean, 1, {}), heldout, lambda x: x)
        features = features_of(clean, heldout.x)
    except (UserError, Fault) as error:
        entries: list[Victim | Model] = [victim, *models]
        for entry in entries:
            yield Finding(entry.file, entry.effect, None, _line(error))
        return
    yield Finding(victim.file, victim.effect, Effect(accuracy=float(right)))
    for model in models:
        try:
            specimen = zoo.specimen(model, clean)
            if specimen.models.layers != model.layers:
                raise Fault(f"it moves layers = {specimen.models.layers!r}, not {model.layers!r}")
            measured = specimen.effect(heldout, features)
        except (UserError, Fault) as error:
            yield Finding(model.file, model.effect, None, _line(error))
        else:
            yield Finding(model.file, model.effect, measured)


def _line(error: Exception) -> str:
    return error.lines[0] if isinstance(error, UserError) else str(error).split("\n")[0]
