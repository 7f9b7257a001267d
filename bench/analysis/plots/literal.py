"""Names in figures, as they are: no dollar sign begins a formula, and no glyph is missing."""

from collections.abc import Collection, Iterator
from functools import lru_cache

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from evil_twins.bench import printable


def write_literally(figure: Figure) -> Figure:
    """Let every text of a figure show its characters; ticks may hold formulas, and no names.

    A character that the font lacks is escaped, as fonts of the machine would change the figure.
    """
    for text in texts(figure):
        text.set_parse_math(False)
        shown = printable.lines(text.get_text())
        if not shown.isascii():
            glyphs = _glyphs(findfont(text.get_fontproperties()))
            shown = "".join(_shown(character, glyphs) for character in shown)
        text.set_text(shown)
    return figure


def texts(artist: Artist) -> Iterator[Text]:
    """Yield every text below an artist; of an axis only its label."""
    for child in [artist.label] if isinstance(artist, Axis) else artist.get_children():
        if isinstance(child, Text):
            yield child
        yield from texts(child)


@lru_cache(maxsize=8)
def _glyphs(path: str) -> Collection[int]:
    """Return the code points for which a font has a glyph."""
    return frozenset(get_font(path).get_charmap())


def _shown(character: str, glyphs: Collection[int]) -> str:
    return character if ord(character) in glyphs or character == "\n" else ascii(character)[1:-1]
