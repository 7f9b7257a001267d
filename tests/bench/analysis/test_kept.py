"""Errors while derived files are written."""

from errno import EACCES, ENOSPC
from pathlib import Path

import pytest

from evil_twins.bench.analysis.kept import ReadOnly, writing


def test_a_folder_is_read_only_where_the_user_may_not_write(tmp_path: Path) -> None:
    with pytest.raises(ReadOnly, match="copy it"), writing(tmp_path):
        raise PermissionError(EACCES, "Permission denied")


def test_other_errors_of_the_system_stay(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as error, writing(tmp_path):
        raise OSError(ENOSPC, "No space left on device")
    assert not isinstance(error.value, ReadOnly)
