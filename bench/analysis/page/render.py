"""Rendering of a page, with the policy that forbids it to load anything else."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from evil_twins.bench import printable
from evil_twins.bench.analysis.page.glossary import words

FOLDER = Path(__file__).parent


def render(template: str, content: dict[str, Any]) -> str:
    """Render "page.html" or "comparison.html" with values of the names in it.

    Every value is escaped unless it is marked as HTML.
    """
    assets = {
        name: Markup((FOLDER / file).read_text(encoding="utf-8"))
        for name, file in (("style", "page.css"), ("script", "page.js"))
    }
    policy = (
        f"default-src 'none'; img-src data:; style-src {_allowed(assets['style'])}; "
        f"script-src {_allowed(assets['script'])}; base-uri 'none'; form-action 'none'"
    )
    page = environment().get_template(template)
    return page.render(**content, **assets, policy=policy, glossary=words())


def environment() -> Environment:
    """Return the place of the templates, which escapes values for HTML and for a terminal."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters["bound"] = _bound
    return templates


def _printable(value: object) -> object:
    """Escape a text of a stranger, not the HTML of this program."""
    return printable.lines(value) if type(value) is str else value


def _bound(name: str) -> str:
    """Join each symbol to its level and each number to its unit: no line break parts them."""
    return re.sub("([κφλ]) | (?=%)", "\\1\N{NO-BREAK SPACE}", name)


def _allowed(source: str) -> str:
    """Return the only source that the policy allows."""
    return f"'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'"
