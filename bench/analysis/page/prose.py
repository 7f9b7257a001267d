"""Markdown tables as a part of the page: names that stand in them cannot add anything to it."""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

_RULES = ["heading", "list", "table", "emphasis", "backticks", "escape"]


def _parser() -> MarkdownIt:
    # From nothing upwards: no links, no images, no HTML, whatever a record holds.
    parser = MarkdownIt("zero", {"html": False}).enable(_RULES)
    parser.add_render_rule("table_open", _open)
    parser.add_render_rule("table_close", _close)
    return parser


def _open(own: RendererHTML, tokens: Sequence[Token], at: int, *_: object) -> str:
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def _close(own: RendererHTML, tokens: Sequence[Token], at: int, *_: object) -> str:
    return "</table></div>\n"


def html(markdown: str, top: int) -> tuple[str, Markup]:
    """The first heading as plain text, and the rest as HTML.

    Args:
        markdown: A table or a page of claims, as its file holds it.
        top: Level of the headings that stand below the first one, 2 ... 6.
    """
    parser = _parser()
    tokens = parser.parse(markdown)
    title = tokens[1].content if tokens and tokens[0].type == "heading_open" else ""
    rest = tokens[3:] if title else tokens
    for token in rest:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) - 2 + top)}"
            token.hidden = token.level > 0  # within a list: no heading but a name that looks so
        elif token.type in ("th_open", "td_open"):
            # Inline styles are forbidden by the page's policy.
            right = "right" in str(token.attrs.pop("style", ""))
            token.attrs |= {"class": "number"} if right else {}
    return title, Markup(parser.renderer.render(rest, parser.options, {}))
