"""The streams' settings: what they should be, where a stream differs, and changing it.

A service creates a missing stream, and never changes one that exists: its user may not, and two
versions that run side by side would undo each other's change. It reports the difference. An
operator's command applies the settings (`make streams`), so the last command wins.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from saga.event import Stream

DUPLICATE_WINDOW_SECONDS = 120


def stream_config(stream: Stream, replicas: int, max_bytes: int = 0) -> StreamConfig:
    return StreamConfig(name=stream.name, **stream_settings(stream, replicas, max_bytes))


def stream_settings(stream: Stream, replicas: int, max_bytes: int = 0) -> dict[str, Any]:
    """The fields of a stream's configuration that the settings decide; the rest is the operator's.

    Times are in seconds. `max_bytes`: of a stream that is limited; 0: the operator's. A full stream
    refuses new events. It must not remove old ones, which a consumer may not have read yet.
    """
    is_limited = max_bytes and stream.is_limited
    limit = {"max_bytes": max_bytes, "discard": DiscardPolicy.NEW} if is_limited else {}
    return limit | {
        "subjects": [stream.subjects],
        "retention": RetentionPolicy.LIMITS,
        "storage": StorageType.FILE,
        "max_age": 0 if stream.newest_only else stream.max_age_seconds,
        "max_msgs_per_subject": 1 if stream.newest_only else -1,
        "duplicate_window": DUPLICATE_WINDOW_SECONDS,
        "allow_direct": True,
        "num_replicas": replicas,
    }


def differences(found: StreamConfig, wanted: Mapping[str, Any]) -> str:
    """Each wanted setting that the stream does not have, with both values; empty if none."""
    values = {name: (_plain(getattr(found, name)), _plain(each)) for name, each in wanted.items()}
    return "; ".join(
        f"{name} is {has}, and should be {should}"
        for name, (has, should) in values.items()
        if has != should
    )


async def apply(
    jetstream: JetStreamContext, stream: Stream, replicas: int, max_bytes: int = 0
) -> str:
    """Give an existing stream its settings. Returns what was different; empty if nothing.

    Raises NatsError, with the broker's text for what can't be changed.
    """
    wanted = stream_settings(stream, replicas, max_bytes)
    try:
        found = (await jetstream.stream_info(stream.name)).config
    except NotFoundError:
        return ""  # a service creates it
    changed = differences(found, wanted)
    if changed:
        await jetstream.update_stream(found.evolve(**wanted))
    return changed


def _plain(value: Any) -> Any:
    """A value for comparing and for people: the client has enums where the broker has texts."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return ", ".join(sorted(value))
    return int(value) if isinstance(value, float) and value.is_integer() else value
