"""The width of text, and its lines."""

import re
from textwrap import fill

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

LETTER = 0.6
"""Mean width of a letter, by its size."""


def broken(words: str, width: int) -> str:
    """Break words into lines, but not at a hyphen, nor next to a sign."""
    space = "\N{NO-BREAK SPACE}"
    joined = re.sub(" ([−·]) ", rf"{space}\1{space}", words).replace(" %", f"{space}%")
    return fill(joined, width, break_on_hyphens=False)


def width_of(words: str) -> float:
    """Return the width of a line in letters."""
    font = FontProperties(size=1.0)
    width: float = TextToPath().get_text_width_height_descent(words, font, ismath=False)[0]
    return width
