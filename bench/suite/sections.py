"""The sections of a suite that are tables of TOML: the victim and the targets."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    Strict,
    model_validator,
)


class Section(BaseModel):
    """A table of TOML: no other keys, and values of the right type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Normalisation(Section):
    """The scale of the pixels that a network takes: (x - mean) / std, with x in [0, 1].

    Attributes:
        mean: A number for each channel.
        std: A number above 0 for each channel.
    """

    mean: Annotated[tuple[float, ...], Strict(False)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Strict(False)]


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1), Strict(False)]


class Victim(Section):
    """The benign model, or the recipe of a population of them.

    Attributes:
        architecture: One of `ARCHITECTURES`, or in one of the `FORMS` of `Network`.
        seed: Seed of its training; each further victim of a population has the next.
        count: Number of victims, each with its own seed and its own draw of the test half.
        recipe: Changes of the default `Recipe`.
        retraining: Parameters of adversarial training, or None for standard training.
        weights: Files of this architecture instead of training, relative to the suite, one for each
            victim; none if they are trained. In a suite a single file need be no list.
        normalise: Mean and deviation of each channel, for a network that is not of this project.
        classes: Names of the classes in the order of its outputs; none for the order of the data.
    """

    architecture: str
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    count: Annotated[int, Field(ge=1, le=1024)] = 1
    recipe: dict[str, Any] = {}
    retraining: dict[str, Any] | None = None
    weights: Files = ()
    normalise: Normalisation | None = None
    classes: Annotated[tuple[str, ...], Strict(False)] = ()

    @property
    def name(self) -> str:
        """Its name in the records, without the folder of a file."""
        architecture = self.architecture.rpartition("/")[2]
        if self.retraining is None:
            return architecture
        on = self.retraining.get("start") == "victim"
        return f"{architecture}-retrained{'-on' if on else ''}"


class Difficulty(Section):
    """The filter of targets by difficulty in the code of the paper's authors.

    Signed-gradient PGD towards the goal class, checked before each of its eight steps, must reach
    a confidence of 0.95, and not before it has taken three.

    Attributes:
        eps: The largest change of a pixel in [0, 1]; the authors' values are 8/255, and 2/255 for
            ImageNet.
        step: The change in one step; 1/255, and 0.25/255 for ImageNet.
    """

    eps: Annotated[float, Field(gt=0, le=1)] = 8 / 255
    step: Annotated[float, Field(gt=0, le=1)] = 1 / 255


class Targets(Section):
    """The inputs that are attacked.

    Attributes:
        list: One of the two frozen lists; settings are chosen only on "development".
        count: Number of targets: the first of the list that the victim classifies correctly.
        after: Number of these that are skipped, so that a list can be used again with new targets.
        goals: "random", any other class, as in the paper's text; or "second", the most likely
            other class under the victim, as in the code of its authors.
        same_goal: Number of targets, one after another, that share the goal class of the first; one
            trigger may serve as many. An image of that class is skipped.
        difficulty: Filter of targets that are too easy or too hard, or None.
        shard: Targets in one cell: the largest number of poisoned models held at once.
        benign: Benign images for the threshold, and as many for its check, under one faced model;
            fewer where the data set has not enough.
    """

    list: Literal["confirmatory", "development"] = "confirmatory"
    count: PositiveInt
    after: NonNegativeInt = 0
    goals: Literal["random", "second"] = "random"
    same_goal: PositiveInt = 1
    difficulty: Difficulty | None = None
    shard: PositiveInt = 32
    benign: PositiveInt = 20

    @model_validator(mode="after")
    def _check_goals(self) -> Self:
        if self.same_goal > 1 and self.difficulty is not None:
            raise ValueError(
                "difficulty is that of a target's own goal; same_goal gives it another"
            )
        return self
