"""Publishing to JetStream in windows: send a batch, then collect its acknowledgements.

nats-py's `publish` waits for each message, and its `publish_async` costs more than the sending.
Here one subscription collects the acknowledgements of all messages.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.observability.outage_log import OutageLog
from chassis.ports import OutgoingMessage
from saga.envelope import EVENT_ID, MESSAGE_ID
from saga.errors import BrokerAway
from saga.event import Contract

PUBLISH_TIMEOUT_SECONDS = 5.0

_NO_SPACE = {10023, 10047, 10077}
"""The account, the server or the stream has reached its limit (JetStream API, error codes)."""


class _Ack(msgspec.Struct):
    """The broker's acknowledgement (JetStream API, PubAck)."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, object] | None = None


_decode = msgspec.json.Decoder(_Ack).decode


class _Window:
    """The acknowledgements of one batch, as they arrive."""

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


def _without_message_id(message: OutgoingMessage) -> OutgoingMessage:
    """A copy that the broker does not drop as a duplicate. Inboxes know it by its `ce-id`."""
    headers = {name: value for name, value in message.headers.items() if name != MESSAGE_ID}
    return OutgoingMessage(message.subject, message.body, headers)


class Publisher:
    """Publishes over one connection."""

    def __init__(
        self,
        client: Client,
        contract: Contract,
        event_at: Callable[[str, int], Awaitable[str | None]],
    ) -> None:
        self._client = client
        self._event_at = event_at
        self._streams = {stream.prefix: stream.name for stream in contract.streams.values()}
        self._newest_only = tuple(
            f"{stream.prefix}." for stream in contract.streams.values() if stream.newest_only
        )
        self._inbox = ""
        self._sent = 0
        self._windows: dict[str, tuple[_Window, int]] = {}
        self._outage = OutageLog("publishing")
        self.is_refused_for_space = False

    async def start(self) -> None:
        """Subscribe to acknowledgements; the client subscribes again after a reconnect."""
        if not self._inbox:
            inbox = self._client.new_inbox()
            await self._client.subscribe(f"{inbox}.*", cb=self._on_answer)
            self._inbox = inbox

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[int | None]:
        """Send all, then wait for all. Returns the stream sequences; None where unknown.

        The broker drops a duplicate even if it does not hold the message any more: it was deleted,
        or an older message of the same key, which another instance published later, has replaced
        it. Such a duplicate is published once more, without the id that the broker knows.
        """
        window = await self._send(messages)
        again = await self._missing(messages, window)
        if again:
            second = await self._send([_without_message_id(messages[at]) for at in again])
            for at, sequence in zip(again, second.sequences, strict=True):
                window.sequences[at] = sequence
        return window.sequences

    async def _missing(self, messages: Sequence[OutgoingMessage], window: _Window) -> list[int]:
        """The duplicates that the stream does not hold; where unknown, the sequence is None."""
        missing = []
        for at in window.duplicates:
            sequence, message = window.sequences[at], messages[at]
            if message.subject.startswith(self._newest_only):
                missing.append(at)
            elif sequence is not None:
                stream = self._streams[message.subject.partition(".")[0]]
                try:
                    held = await self._event_at(stream, sequence)
                except BrokerAway as error:
                    self._outage.failed(error)
                    window.sequences[at] = None
                else:
                    if held != message.headers.get(EVENT_ID):
                        missing.append(at)
        return missing

    async def _send(self, messages: Sequence[OutgoingMessage]) -> _Window:
        window = _Window(len(messages))
        if not self._client.is_connected:  # the client would buffer them, and the relay has them
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
            self._outage.failed(error)
        finally:
            for reply in replies:
                self._windows.pop(reply, None)
        return window

    def give_up(self) -> None:
        """End all windows: the connection is lost, and its last acknowledgements with it."""
        for window, _ in self._windows.values():
            if not window.complete.done():
                window.complete.set_result(None)

    async def _on_answer(self, message: Msg) -> None:
        window, index = self._windows.pop(message.subject, (None, 0))
        if window is None:
            return  # it came after the timeout, and the message is published again
        if not message.data:  # "no responders"
            self._outage.failed("no stream has this subject, or it has no leader")
            window.answer(index, None)
            return
        ack = _decode(message.data)
        self.is_refused_for_space = bool(ack.error and ack.error.get("err_code") in _NO_SPACE)
        if ack.error is None:
            self._outage.ended()
        else:
            self._outage.failed(f"the broker rejected an event: {ack.error}")
        if ack.duplicate:
            window.duplicates.append(index)
        window.answer(index, None if ack.error else ack.seq)
