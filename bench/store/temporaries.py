"""Names of temporary files and folders, which show whether their process still lives.

Two containers may have one host name and the same numbers of processes. So a name holds the boot of
the machine, the space of process numbers, the process, and a random number.
"""

import os
import platform
import re
import time
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

WEEK = 7 * 24 * 3600.0
"""Seconds after which what another machine has left is removed."""

_NAME = re.compile(r"\..+\.([0-9a-f]{12})\.(\d+)\.[0-9a-f]{12}")


@cache
def machine() -> str:
    """Return a name of this boot of the machine and of its space of process numbers."""
    facts = [platform.node()]
    with suppress(OSError):  # only Linux has them
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(os.readlink("/proc/self/ns/pid"))
    return sha256("\n".join(facts).encode()).hexdigest()[:12]


def temporary(name: str) -> str:
    """Return a new temporary name for a file or folder of this process."""
    return f".{name}.{machine()}.{os.getpid()}.{uuid4().hex[:12]}"


def abandoned(path: Path) -> bool:
    """Check whether a path has a temporary name, and its process no longer uses it.

    Raises:
        OSError: It has gone.
    """
    parts = _NAME.fullmatch(path.name)
    if parts and parts[1] == machine() and not _alive(int(parts[2])):
        return True
    return bool(parts) and time.time() - path.lstat().st_mtime > WEEK


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
