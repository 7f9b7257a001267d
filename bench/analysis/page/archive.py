"""Tables as one file to save: a page with each of them would be several times as long."""

from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from evil_twins.bench.analysis.page.gallery import uri

NAME = "tables.zip"


class Archive(NamedTuple):
    """The tables in a ZIP file.

    Attributes:
        name: Name of the file.
        size: Its bytes.
        content: The file as a data URI.
        files: Name and bytes of each table.
    """

    name: str
    size: int
    content: str
    files: tuple[tuple[str, int], ...]


def archive(tables: Mapping[str, bytes]) -> Archive:
    """Pack tables by name; equal tables give equal bytes."""
    stream = BytesIO()
    with ZipFile(stream, "w", ZIP_DEFLATED) as packed:
        for name, table in tables.items():
            packed.writestr(ZipInfo(name), table, ZIP_DEFLATED, 9)  # ZipInfo dates all 1980
    content = stream.getvalue()
    sizes = tuple((name, len(table)) for name, table in tables.items())
    return Archive(NAME, len(content), uri("application/zip", content), sizes)
