"""A delivered message that counts its acknowledgements."""

from collections.abc import Mapping

from saga import envelope


class Delivered:
    """An event as the broker delivers it. `body` replaces its own."""

    stream = "SAGA"
    sequence = 7

    def __init__(self, outbound: envelope.OutboundEvent, body: bytes | None = None) -> None:
        self.subject = outbound.subject
        self.body = outbound.body if body is None else body
        self.headers: Mapping[str, str] = envelope.headers(outbound, "test")
        self.letter_id: int | None = None
        self.acknowledged = 0
        self.heartbeats = 0

    def ack(self) -> None:
        self.acknowledged += 1

    async def in_progress(self) -> None:
        self.heartbeats += 1
