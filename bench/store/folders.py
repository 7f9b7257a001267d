"""Make the folders that a user names."""

import os
from pathlib import Path

from evil_twins.bench.errors import UserError, why
from evil_twins.bench.store import files
from evil_twins.bench.store.room import NO_ROOM


def writable_folder(path: Path) -> Path:
    """Make a folder that the user named, unless it is there; return its place.

    Raises:
        UserError: It cannot be made or written to.
        OSError: There is no room for it.
    """
    try:
        place = files.make_folder(path, None)
    except UserError:
        raise
    except (OSError, ValueError) as error:  # a zero byte is an error of the second kind
        if getattr(error, "errno", None) in NO_ROOM:
            raise
        raise UserError(
            f"the folder {str(path)!r} cannot be made: {why(error)}", "remedy: name another folder"
        ) from error
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(
            f"the folder {str(path)!r} cannot be written to",
            "remedy: name another folder, or change its permissions",
        )
    return place
