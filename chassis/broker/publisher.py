"""Publishing to JetStream in windows: send a batch, then collect its acknowledgements.

nats-py waits for each publication, or spends more on bookkeeping per message than on sending it.
Here one subscription collects the answers to all of them.
"""

import asyncio
import logging
from collections.abc import Sequence

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.ports import OutgoingMessage
from events.contract import NEWEST_ONLY, SUBJECT_PREFIX
from saga.envelope import MESSAGE_ID

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_SECONDS = 5.0


class _Ack(msgspec.Struct):
    """The broker's answer (JetStream API, PubAck)."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, object] | None = None


_decode = msgspec.json.Decoder(_Ack).decode


class _Window:
    """The acknowledgements of one batch, as they come in."""

    __slots__ = ("complete", "duplicates", "missing", "sequences")

    def __init__(self, size: int) -> None:
        self.sequences: list[int | None] = [None] * size
        self.duplicates: list[int] = []
        self.missing = size
        self.complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, index: int, sequence: int | None) -> None:
        self.sequences[index] = sequence
        self.missing -= 1
        if not self.missing and not self.complete.done():
            self.complete.set_result(None)


def _keeps_the_newest(subject: str) -> bool:
    return any(subject.startswith(f"{SUBJECT_PREFIX[stream]}.") for stream in NEWEST_ONLY)


def _unknown_to_the_broker(message: OutgoingMessage) -> OutgoingMessage:
    """Inboxes know it all the same, by its own id."""
    headers = {name: value for name, value in message.headers.items() if name != MESSAGE_ID}
    return OutgoingMessage(message.subject, message.body, headers)


class Publisher:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = ""
        self._sent = 0
        self._windows: dict[str, tuple[_Window, int]] = {}

    async def start(self) -> None:
        """Subscribe to the answers; the client renews the subscription after a reconnect."""
        if not self._inbox:
            inbox = self._client.new_inbox()
            await self._client.subscribe(f"{inbox}.*", cb=self._on_answer)
            self._inbox = inbox

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[int | None]:
        """Send all, then wait for all. Gives the stream sequences; None where none is known.

        What the broker has had before it does not store again: not even where an older message of
        the same key, which another instance sent later, has taken its place. A stream that keeps
        the newest alone is told a second time in a way that counts.
        """
        window = await self._send(messages)
        if again := [at for at in window.duplicates if _keeps_the_newest(messages[at].subject)]:
            anew = await self._send([_unknown_to_the_broker(messages[at]) for at in again])
            for at, sequence in zip(again, anew.sequences, strict=True):
                window.sequences[at] = sequence
        return window.sequences

    async def _send(self, messages: Sequence[OutgoingMessage]) -> _Window:
        window = _Window(len(messages))
        if not self._client.is_connected:  # the client would keep them for later: so do we, better
            return window
        replies: list[str] = []
        try:
            for index, message in enumerate(messages):
                self._sent += 1
                reply = f"{self._inbox}.{self._sent}"
                replies.append(reply)
                self._windows[reply] = (window, index)
                await self._client.publish(
                    message.subject, message.body, reply=reply, headers=dict(message.headers)
                )
            async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                await window.complete
        except (NatsError, OSError, TimeoutError) as error:
            log.warning("publishing was cut short", extra={"error": repr(error)})
        finally:
            for reply in replies:
                self._windows.pop(reply, None)
        return window

    def give_up(self) -> None:
        """The connection is gone, and with it the answers that were on their way."""
        for window, _ in self._windows.values():
            if not window.complete.done():
                window.complete.set_result(None)

    async def _on_answer(self, message: Msg) -> None:
        window, index = self._windows.pop(message.subject, (None, 0))
        if window is None:
            return  # it came after its time: the message is sent again, under the same id
        if not message.data:  # "no responders": no stream takes this subject now
            window.answer(index, None)
            return
        ack = _decode(message.data)
        if ack.error is not None:
            log.warning("the broker refused an event", extra={"error": str(ack.error)})
        if ack.duplicate:
            window.duplicates.append(index)
        window.answer(index, None if ack.error else ack.seq)
