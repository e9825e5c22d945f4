"""Ids that lie side by side in a database's indexes, as the sagas do in time.

A random key puts each new row on another page of its index: the more rows there are, the more pages
a commit has to write. Ids that begin with the time, and ids of what belongs to a saga that begin as
the saga's does, keep the cost of a commit the same (docs/decisions/0003-derived-event-ids.md).
"""

from hashlib import sha1

_RANDOM_BITS = 74
_NAMESPACE = b"shop saga"  # a part of every derived id that is stored


def timed(milliseconds: int, random: int) -> str:
    """A UUID that begins with a time (RFC 9562, version 7).

    `milliseconds` since 1970, `random` at least 74 random bits.
    """
    high = random >> 62 & 0xFFF
    low = 1 << 63 | random & (1 << 62) - 1
    digits = f"{milliseconds & (1 << 48) - 1:012x}7{high:03x}{low:016x}"
    return _hyphenated(digits)


def derived(key: str, name: str) -> str:
    """The id of something that belongs to `key`, a UUID: the same for the same name.

    Begins as the key does; the rest is the name's and the key's hash (RFC 9562, version 8).
    """
    digest = sha1(_NAMESPACE + f"{name}/{key}".encode(), usedforsecurity=False).hexdigest()
    start = key[:8] + key[9:13]
    variant = "89ab"[int(digest[0], 16) & 3]
    return _hyphenated(f"{start}8{digest[1:4]}{variant}{digest[4:19]}")


def _hyphenated(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
