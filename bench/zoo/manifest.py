"""The manifest of a zoo: every model, its origin, and its measures."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, model_validator

from evil_twins.bench.store.schemas import Count, Digest, Schema
from evil_twins.bench.subjects.splits import NAMES, Splits

NAME = "manifest.json"
FORMAT: Literal[1] = 1
"""The number of this form of manifests."""

File = Annotated[str, Field(pattern=r"^(victims|models)/[A-Za-z0-9_][A-Za-z0-9_.=-]{0,199}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Effect(Schema):
    """The measures of a model; each `verify` takes them anew, and compares all but `won`.

    Attributes:
        accuracy: Accuracy on R.
        kl: Mean KL(victim ‖ model) on R, in nats; 0 for a victim.
        won: Number of its inputs that get their goal class.
        confidence: Mean confidence in the goal class of its inputs, None without inputs.
        asr: Success rate of its trigger, None without one.
    """

    accuracy: Share
    kl: Annotated[float, Field(ge=-1e-9, allow_inf_nan=False)] = 0.0
    won: Count = 0
    confidence: Share | None = None
    asr: Share | None = None


class Victim(Schema):
    """A clean model: a classifier with all its weights.

    Attributes:
        file: Its file in the zoo.
        sha256: SHA-256 of the file.
        seed: Seed of its training.
        draw: Number of its draw of the test half, which gives R.
        effect: Its accuracy.
    """

    file: File
    sha256: Digest
    seed: Count
    draw: Count
    effect: Effect


class Row(Schema):
    """A row of the suite, of which several models are.

    Attributes:
        attack: Label of the attack in the suite.
        method: Name of its method.
        parameters: All parameters of the method.
        kappa: The required confidence: a number, "benign", or None.
        poisoned: Whether an attacker made the models, with success or not; otherwise they are
            honest fine-tunes.
    """

    attack: str
    method: str
    parameters: dict[str, Any]
    kappa: Share | Literal["benign"] | None
    poisoned: bool


class Model(Schema):
    """A model that differs from a victim, with the inputs that it was made for.

    Attributes:
        file: Its file in the zoo.
        sha256: SHA-256 of the file.
        victim: The file of its victim.
        row: The title of its row.
        layers: The layers that differ: head or all.
        targets: Names of its targets, those of their images x°.
        effect: The measures of it.
    """

    file: File
    sha256: Digest
    victim: File
    row: str
    layers: Literal["head", "all"]
    targets: Annotated[tuple[str, ...], Strict(False)]
    effect: Effect


class Data(Schema):
    """The data set: its name, its SHA-256, the size of its images, and shares of its splits."""

    name: str
    digest: Digest
    size: int | None
    splits: dict[str, float]

    @model_validator(mode="after")
    def _check_splits(self) -> Self:
        if self.splits.keys() != {*NAMES}:
            raise ValueError("the splits have other names")
        Splits(**self.splits)
        return self


class Manifest(Schema):
    """The form of `manifest.json`.

    Attributes:
        form: The number of this form.
        program: Name and version of the program that wrote it.
        suite: The suite whose models these are.
        data: The data set on which everything was measured.
        precision: The type of all numbers, float32 or float64.
        verify: The command that takes all measures anew.
        victims: The clean models.
        rows: The rows of the suite that have models, by title.
        models: The models of the rows.

    Raises:
        ValueError: A model is of no row or of no victim, a file is listed twice, or none is.
    """

    form: Literal[1]
    program: str
    suite: str
    data: Data
    precision: Literal["float32", "float64"]
    verify: str
    victims: Annotated[tuple[Victim, ...], Strict(False)]
    rows: dict[str, Row]
    models: Annotated[tuple[Model, ...], Strict(False)]

    @model_validator(mode="after")
    def _check_origins(self) -> Self:
        victims = {victim.file for victim in self.victims}
        if not all(model.row in self.rows and model.victim in victims for model in self.models):
            raise ValueError("a model is of no row or of no victim")
        files = [*victims, *(model.file for model in self.models)]
        if not self.models or len({*files}) < len(self.victims) + len(self.models):
            raise ValueError("a file is listed twice, or no model is listed")
        if any(model.effect.won > len(model.targets) for model in self.models):
            raise ValueError("a model wins more inputs than it has")
        return self

    def poisoned(self) -> int:
        """Count the poisoned models."""
        return sum(self.rows[model.row].poisoned for model in self.models)
