"""Make pages of small records, and read their content."""

from base64 import b64decode
from dataclasses import dataclass, field
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pandas as pd

from evil_twins.bench.analysis.page.page import write
from tests.bench import synthetic

DETECTORS = ("curvature", "confidence")
HOSTILE = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> | [a](javascript:b) ![c](//d)"
Attributes = dict[str, str]


def frames(n: int = 14, kappas: tuple[float, ...] = (0.75,)) -> dict[str, pd.DataFrame]:
    """Return synthetic records of two detectors; Page's test takes seconds below 13 targets."""
    records = synthetic.frames(n=n, kappas=kappas)
    for name in ("scores", "details"):
        records[name] = records[name][records[name]["detector"].isin(DETECTORS)]
    return records


def page(directory: Path, records: dict[str, pd.DataFrame]) -> str:
    """Return the page of these records."""
    return write(synthetic.write(directory, records), "small").read_text(encoding="utf-8")


@dataclass
class Outline(HTMLParser):
    """The elements of a page in order, with the text directly in each."""

    tags: list[tuple[str, Attributes]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open.append(len(self.tags))
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.texts.append("")
        if tag in ("meta", "link", "img", "input"):
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self._open and self.tags[self._open[-1]][0] != tag:
            self._open.pop()
        if self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]] += data

    def find(self, tag: str) -> list[Attributes]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag: str) -> list[str]:
        result = zip(self.tags, self.texts, strict=True)
        return [text.strip() for (name, _), text in result if name == tag]


def outline(page: str) -> Outline:
    result = Outline()
    result.feed(page)
    return result


def csv_files(result: Outline) -> dict[str, bytes]:
    """Return the tables that the page offers, by name."""
    (link,) = (link for link in result.find("a") if "download" in link)
    with ZipFile(BytesIO(b64decode(link["href"].split(",")[1]))) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def squares(result: Outline) -> list[Attributes]:
    """Return the rates of the matrix; only these follow the slider."""
    return [square for square in result.find("td") if "data-below" in square]


def named(records: dict[str, pd.DataFrame], name: str) -> dict[str, pd.DataFrame]:
    """Return the records with this name wherever a record holds one."""
    changed = {}
    for part, frame in records.items():
        texts = ("dataset", "victim", "attack", "reason", "kind", "cell", "list")
        frame = frame.assign(**{c: f"{name}{c}" for c in texts if c in frame.columns})
        for column in ("detector", "target_id"):
            if column in frame.columns:
                frame[column] = [f"{name}{v}" if v else v for v in frame[column]]
        changed[part] = frame
    return changed


def asks_for_nothing(result: Outline) -> None:
    """Fails where a page could load, send or run anything but its own script."""
    assert [script.get("type") for script in result.find("script")][3:] == [None]
    for _, attributes in result.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert attributes.get("src", "data:").startswith("data:image/") or "src" not in attributes
        assert attributes.get("href", "#").startswith(("#", "data:"))
    policy = next(tag["content"] for tag in result.find("meta") if "http-equiv" in tag)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy
