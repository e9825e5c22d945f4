"""Idempotency keys over HTTP: the same request sent again gets the first answer."""

from hashlib import sha256

import msgspec

from chassis.processing.messages import Done, IdempotencyKey
from chassis.web.errors import invalid

_HEADER = "Idempotency-Key"


def key_of(scope: str, key: str | None, request: object) -> IdempotencyKey | None:
    """The client's key for this request, or None where it sent none.

    Two requests are the same when they mean the same, whatever their spacing and order of fields.
    Raises Invalid for a key that is not 1 to 255 printable ASCII characters.
    """
    if key is None:
        return None
    fingerprint = sha256(msgspec.json.encode(request, order="sorted")).hexdigest()
    return IdempotencyKey(scope, checked_key(key), fingerprint)


def checked_key(key: str) -> str:
    """The client's key. Raises Invalid for one that can't be used."""
    if not (key.isascii() and key.isprintable() and key.strip()):
        raise invalid(_HEADER, "send 1 to 255 printable ASCII characters", "header")
    return key


def replay_headers(done: Done) -> dict[str, str]:
    """The header that marks the answer to a request that was executed before."""
    return {"Idempotency-Replayed": "true"} if done.replayed else {}
