"""Change the files of a zoo on purpose."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def edited(zoo: Path) -> Iterator[dict[str, Any]]:
    """Give the manifest of a zoo to a block that changes it."""
    manifest = json.loads((zoo / "manifest.json").read_text())
    yield manifest
    (zoo / "manifest.json").write_text(json.dumps(manifest))
