"""Write, above each module of the API pages, its file, its purpose and its public names.

The site shows the docstrings. In a checkout the lines of this script say where to read them:
python docs/api_pages.py
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
ENTRY = re.compile(r"(?m)^(?:\[`[^\n]*\n\n)?::: evil_twins(?P<name>[\w.]*)$")


def source(name: str) -> Path:
    """Return the file of a module below `evil_twins`, such as ".attacks.pgd"."""
    parts = name.split(".")[1:]
    rooms = ("attacks", "bench", "detectors")
    folder = ROOT if parts and parts[0] in rooms else ROOT / "api"
    path = folder.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def line(path: Path) -> str:
    """Return the link, the first line of the docstring and the public names of a file."""
    tree = ast.parse(path.read_text())
    purpose = (ast.get_docstring(tree) or "").splitlines()[0].rstrip(".")
    kinds = ast.ClassDef | ast.FunctionDef
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    public = ", ".join(f"`{name}`" for name in names if not name.startswith("_"))
    place = path.relative_to(ROOT).as_posix()
    return f"[`{place}`](../../{place}): {purpose}." + (f" {public}." if public else "")


def written(text: str) -> str:
    """Return a page with the lines of its modules."""

    def entry(match: re.Match[str]) -> str:
        name = match["name"]
        return f"{line(source(name))}\n\n::: evil_twins{name}"

    return ENTRY.sub(entry, text)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(written(page.read_text()))
