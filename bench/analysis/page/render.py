"""A page from what stands in it, with the policy that keeps it from asking for anything else."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render(template: str, content: dict[str, Any]) -> str:
    """The page; every value of `content` is escaped but for what is marked as HTML.

    Args:
        template: "page.html" or "beside.html".
        content: What it names.
    """
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["bound"] = _bound
    own = {
        name: Markup((folder / file).read_text(encoding="utf-8"))
        for name, file in (("style", "page.css"), ("script", "page.js"))
    }
    policy = (
        f"default-src 'none'; img-src data:; style-src {_allowed(own['style'])}; "
        f"script-src {_allowed(own['script'])}; base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(**content, **own, policy=policy)


def _bound(name: str) -> str:
    """The name of a row, no symbol at the end of a line and its level at the start of the next."""
    return re.sub("([κφλ]) ", "\\1\N{NO-BREAK SPACE}", name)


def _allowed(source: str) -> str:
    """The one source that the policy lets through."""
    return f"'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'"
