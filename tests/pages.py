"""The pages of the documents, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page: Path, language: str) -> list[str]:
    fenced = re.findall(r"(?ms)^ *```(\w*)\n(.*?)^ *```$", page.read_text())
    return [code for name, code in fenced if name == language]


def typed(page: Path, program: str) -> list[str]:
    """Return the arguments of each call of the program in a page."""
    return re.findall(rf"(?m)(?:`|^ *|&& |srun ){program} ([^`\n&|#]*)", page.read_text())
