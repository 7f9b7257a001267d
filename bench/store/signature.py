"""Sign facts that only programs of this user may state."""

import hmac
import secrets
from functools import cache
from typing import Any

import platformdirs

from evil_twins.bench.store import files
from evil_twins.bench.store.checksums import fingerprint

BYTES = 32
"""Length of the secret."""


def signature(value: Any) -> str:
    """Return the signature of a JSON value, which nobody makes without the secret of this user."""
    return hmac.new(_secret(), fingerprint(value).encode(), "sha256").hexdigest()


@cache
def _secret() -> bytes:
    """Return the secret of this user; it is made at the first use.

    A secret that cannot be stored serves only this process; the next one makes signed files again.
    """
    path = platformdirs.user_data_path("evil-twins") / "secret"
    secret = secrets.token_bytes(BYTES)
    try:
        if not files.present(path, None):
            files.make_folder(path.parent, None)
            with files.creating(path, None) as draft:
                draft.touch(mode=0o600)
                draft.write_bytes(secret)
        stored = files.read(path, None)
    except OSError:
        return secret
    return stored if len(stored) == BYTES else secret
