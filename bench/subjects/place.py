"""Place the folder of data sets; where it is decides no content of a cell."""

from pathlib import Path

import platformdirs


def data_folder(root: Path | None) -> Path:
    """Return the folder of data sets: the one that the user names, or one in the user's cache."""
    return (root or platformdirs.user_cache_path("evil-twins") / "data").expanduser()
