"""Load the code for networks that are not of this project.

Its name is put together at run time, so that cells of other networks do not depend on it. For such
networks `source_code.code_of` adds it to the identity of their cells.
"""

from importlib import import_module
from typing import Any

NETWORKS = "evil_twins.bench.subjects.networks"


def adoption() -> Any:
    """Return the module `networks.adoption`."""
    return import_module(f"{NETWORKS}.adoption")
