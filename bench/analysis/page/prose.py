"""Markdown tables as HTML of the page: names in them cannot add elements to it."""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

_RULES = ["heading", "list", "table", "emphasis", "backticks", "escape"]


def _parser() -> MarkdownIt:
    # Rules are allowed one by one: no links, no images, no HTML for any record.
    parser = MarkdownIt("zero", {"html": False}).enable(_RULES)
    parser.add_render_rule("table_open", _open)
    parser.add_render_rule("table_close", _close)
    return parser


def _open(renderer: RendererHTML, tokens: Sequence[Token], place: int, *_: object) -> str:
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'


def _close(renderer: RendererHTML, tokens: Sequence[Token], place: int, *_: object) -> str:
    return "</table></div>\n"


def html(markdown: str, top: int) -> tuple[str, Markup]:
    """Return the first heading as text, and the other content as HTML.

    Args:
        markdown: The content of the file of a table or of the claims.
        top: Level of the headings below the first one, 2 ... 6.
    """
    parser = _parser()
    tokens = parser.parse(markdown)
    title = tokens[1].content if tokens and tokens[0].type == "heading_open" else ""
    body = tokens[3:] if title else tokens
    for token in body:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) - 2 + top)}"
            token.hidden = token.level > 0  # within a list it is a name that looks like a heading
        elif token.type in ("th_open", "td_open"):
            # Inline styles are forbidden by the page's policy.
            right = "right" in str(token.attrs.pop("style", ""))
            token.attrs |= {"class": "number"} if right else {}
    return title, Markup(parser.renderer.render(body, parser.options, {}))
