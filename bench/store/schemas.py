"""The forms of the JSON files of results, one schema for each kind of file.

Keys that a schema does not name are ignored.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    Strict,
    model_validator,
)

from evil_twins.bench.store.checksums import content_hash, fingerprint

Count = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")]
Size = Annotated[int, Field(gt=0, le=2**20)]


class Schema(BaseModel):
    """The form of a JSON file, or of a part of it."""

    model_config = ConfigDict(strict=True, frozen=True)


class _Sealed(Schema):
    """The form of a file that names the fingerprint of all its other facts."""

    @model_validator(mode="before")
    @classmethod
    def _check_seal(cls, facts: Any) -> Any:
        rest = dict(facts) if isinstance(facts, dict) else {}
        if rest.pop("seal", None) != fingerprint(rest):
            raise ValueError("the seal is broken")
        return facts


class _Dataset(Schema):
    name: str
    size: int | None


class _Component(Schema):
    name: Annotated[str, Field(alias="class")]
    parameters: dict[str, Any]


class _Targets(Schema):
    first: Count
    last: Count

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.last <= self.first:
            raise ValueError("there are no targets")
        return self


class _Benign(Schema):
    size: Count


class _Spec(Schema):
    dataset: _Dataset
    device: str


class _VictimSpec(_Spec):
    architecture: str


class _FitSpec(_Spec):
    preparation: _Component


class _AttackSpec(_Spec):
    attack: _Component
    targets: _Targets


class _ScoreSpec(_Spec):
    detector: _Component
    benign: _Benign


SPECS: Mapping[str, type[_Spec]] = {
    "victim": _VictimSpec,
    "fit": _FitSpec,
    **dict.fromkeys(("attack", "durability"), _AttackSpec),
    **dict.fromkeys(("benign", "score"), _ScoreSpec),
}

FileFacts = Annotated[tuple[Count, Digest, int], Strict(False)]
"""Size, SHA-256 and time of change of a file. Strict, a JSON array would be no tuple."""


class CellFacts(Schema):
    """The form of `cell.json`.

    Attributes:
        kind: Kind of the cell.
        identity: Its identity.
        title: Its name for people.
        spec: Everything that decides its content, except code and parents.
        parents: Role -> kind, identity and content hash of a parent.
        versions: Distribution -> version that made the cell.
        files: File -> its facts.
        content: Its content hash.
        provenance: SHA-256 of `provenance.json`.
    """

    kind: Literal["victim", "fit", "attack", "benign", "score", "durability"]
    identity: str
    title: str
    spec: dict[str, Any]
    parents: dict[str, Annotated[tuple[str, str, str], Strict(False)]]
    versions: dict[str, str]
    files: dict[FileName, FileFacts]
    content: Digest
    provenance: Digest

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        SPECS[self.kind].model_validate(self.spec)
        if self.content != content_hash(self.files):
            raise ValueError("the content is not that of the files")
        return self


class SealedCell(_Sealed, CellFacts):
    """The form of `cell.json` with a seal that holds."""


class FailureNote(Schema):
    """The form of the note of a failed cell."""

    reason: str


class _Code(Schema):
    python: str = ""
    packages: dict[str, str] = {}
    commit: str | None = None
    dirty: bool = False


class _Machine(Schema):
    system: str = ""
    processor: str = ""
    cores: Count | None = None
    device: str = ""
    gpu: str = ""


class _Host(_Machine):
    host: str


class Provenance(Schema):
    """The form of `provenance.json`."""

    seconds: Seconds
    machine: _Host


class _Computing(Schema):
    cells: Count = 0
    core_hours: Seconds = 0.0


class RunFacts(Schema):
    """The form of `run.json`.

    Attributes:
        command: The words of the command.
        date: The day of the run.
        mark: A signature of all that decides records, tables and figures, and of the files.
        code: Versions of the code and of libraries.
        machine: The hardware.
        computing: Number of cells and their core-hours.
        files: Record, table or figure -> SHA-256.
        seconds: Time that tables and figures took.
    """

    command: list[str] = []
    date: str = ""
    mark: str = ""
    code: _Code = _Code()
    machine: _Machine = _Machine()
    computing: _Computing | None = None
    files: dict[str, str] = {}
    seconds: Seconds | None = None


class SealedRun(_Sealed, RunFacts):
    """The form of `run.json` with a seal that holds."""


def _check_local(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise ValueError("the path leads elsewhere")
    return name


class DerivedFiles(Schema):
    """The hash of all that decides files of one kind, their own by path, and a signature."""

    key: str
    files: dict[Annotated[str, AfterValidator(_check_local)], str]
    signature: str = ""


class DerivedNote(RootModel[dict[str, DerivedFiles]]):
    """The form of `derived.json`."""

    model_config = ConfigDict(strict=True, frozen=True)


class NetworkFacts(Schema):
    """SHA-256 of the code of a network of others, its number of outputs, and its `Structure`."""

    code: Digest
    outputs: Size
    head: str | None
    folded: Annotated[tuple[tuple[str, str], ...], Strict(False)]


class ClassifierFacts(Schema):
    """The form of the metadata of a file of weights."""

    architecture: str
    classes: Size
    shape: Annotated[tuple[Size, Size, Size], Strict(False)]
    network: NetworkFacts | None = None


class ColumnsFacts(Schema):
    """The form of Hugging Face's description of a Parquet file; "features" has its columns."""

    info: dict[str, Any]
