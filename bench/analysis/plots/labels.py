"""Words of a figure in place of the labels in the records."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from evil_twins.bench.analysis.tables.records import Records
from evil_twins.bench.errors import UserError, unknown, why
from evil_twins.bench.store import files


@dataclass(frozen=True)
class Labels:
    """Words in place of labels; a label without words stays.

    Attributes:
        attacks: Words by label of an attack.
        detectors: Words by label of a detector.
    """

    attacks: Mapping[str, str] = field(default_factory=dict)
    detectors: Mapping[str, str] = field(default_factory=dict)

    def check(self, records: Records) -> None:
        """Check that the records have each label.

        Raises:
            UserError: They do not; it lists those that they have.
        """
        frames = {"attacks": records.rows["attack"], "detectors": records.scores["detector"]}
        for part, labels in frames.items():
            names = [str(label) for label in labels.unique()]
            for label in getattr(self, part):
                if label not in names:
                    raise unknown(part.removesuffix("s"), label, names)


def read(path: Path) -> Labels:
    """Read a TOML file with the tables `[attacks]` and `[detectors]`: label = "words".

    Raises:
        UserError: It cannot be read, has another table, or a value that is no text.
    """
    try:
        tables = tomllib.loads(files.read(path, None).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"cannot read the labels {path}: {why(error)}",
            'expected: a TOML file with lines such as imc = "Ours" below [attacks] or [detectors]',
        ) from error
    return of_tables(tables, str(path))


def of_tables(tables: Mapping[str, object], where: str) -> Labels:
    """Return the words of the tables "attacks" and "detectors": label -> words.

    Raises:
        UserError: There is another table, or a value that is no text; `where` names the tables.
    """
    parts = [part.name for part in fields(Labels)]
    for name, words in tables.items():
        if name not in parts:
            raise unknown(f"table of {where}", name, parts)
        if not isinstance(words, Mapping) or not all(isinstance(w, str) for w in words.values()):
            raise UserError(
                f"{where}: {name} does not hold one text for each label",
                f'expected: label = "words" in {name}',
            )
    attacks, detectors = (
        {str(label): str(text) for label, text in dict(tables.get(part, {})).items()}  # type: ignore[call-overload]
        for part in parts
    )
    return Labels(attacks, detectors)
