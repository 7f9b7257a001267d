"""Names that would control a terminal, a page, a table or a figure."""

import string
import unicodedata

from hypothesis import strategies as st

CONTROL = "\x1b[31m\x1b]0;title\x07\n\r\t\0\u202e\u200b\ufeff\u2028\udcff\x9b"
EXAMPLES = (
    "a\nb\x1b[2J",
    r"$\frac{$",
    "[red]x[/red] [link=http://a]y[/link]",
    "=1+1",
    'a;=1+1;"@b',
    "ab2§=§8yz",
    "*[0pt] \\ { } % & # _ ^ ~",
    "中文 \U0001fae8",
    "<script>alert(1)</script> | ` _ \"'",
    "\udcff\u202e",
)

names = st.one_of(
    st.sampled_from(EXAMPLES),
    st.text(st.characters(), max_size=30),
    st.text(st.sampled_from(CONTROL + string.punctuation + "aκ中"), max_size=30),
)
"""Names with any characters, lone surrogates too."""


def controls(text: str) -> set[str]:
    """Return the characters of a text that are neither printable nor a space or a line break."""
    return {
        c for c in text if not (c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs")
    }
