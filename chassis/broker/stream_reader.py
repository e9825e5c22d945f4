"""Reading streams without a consumer: the history of a subject, positions, gaps."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from nats.errors import ConnectionReconnectingError
from nats.errors import Error as NatsError
from nats.js.api import DiscardPolicy, StreamInfo
from nats.js.errors import APIError, NotFoundError

from chassis.broker.nats_client import NatsClient
from chassis.ports import START, StoredMessage, StreamPosition, StreamState
from saga.envelope import EVENT_ID
from saga.errors import BrokerAway, RetryLater
from saga.event import Contract

API_TIMEOUT_SECONDS = 5.0
READ_AT_ONCE = 100
"""So many messages of a subject are read before they are handled."""

_NOT_FOUND = 404


class StreamReader:
    """Reads the streams of a contract, over a client that may not be connected.

    `generation` counts how often the streams may have been created again: a position in an older
    one says nothing.
    """

    def __init__(self, client: NatsClient, contract: Contract) -> None:
        self.generation = 0
        self._client = client
        self._contract = contract

    async def history(self, subject: str) -> list[StoredMessage]:
        found, _ = await self.history_since(subject, START)
        return found

    async def history_since(
        self, subject: str, place: StreamPosition
    ) -> tuple[list[StoredMessage], StreamPosition]:
        """Read a subject's messages one by one, without a consumer."""
        generation = self.generation
        sequence = place.sequence if place.generation == generation else 0
        try:
            if not self._client.is_connected:  # the client would send the request later
                raise ConnectionReconnectingError
            found = [each async for each in self._stored(subject, sequence)]
        except (NatsError, TimeoutError, OSError) as error:
            raise RetryLater("the event stream can't be read at the moment; try again") from error
        return found, StreamPosition(generation, found[-1].sequence if found else sequence)

    async def read(self, subjects: Sequence[str], after: int) -> list[StoredMessage]:
        """From the leader, since a replica may lag behind. The subjects are read side by side."""
        try:
            pages = await asyncio.gather(*(self._page(subject, after) for subject in subjects))
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        # Behind a full page its subject may have more: what comes after that is read later.
        ends = (page[-1].sequence for page in pages if len(page) == READ_AT_ONCE)
        end = min(ends, default=None)
        found = [each for page in pages for each in page if end is None or each.sequence <= end]
        return sorted(found, key=lambda message: message.sequence)

    async def _page(self, subject: str, after: int) -> list[StoredMessage]:
        found: list[StoredMessage] = []
        async for message in self._stored(subject, after):
            found.append(message)
            if len(found) == READ_AT_ONCE:
                break
        return found

    async def last(self, subject: str) -> StoredMessage | None:
        try:
            if not self._client.is_connected:  # the client would send the request later
                raise ConnectionReconnectingError
            stored = await self._get_stored(subject, {"last_by_subj": subject})
            return await self._message(stored) if stored else None
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error

    async def _stored(self, subject: str, after: int) -> AsyncIterator[StoredMessage]:
        """The messages under a subject filter behind a sequence."""
        while stored := await self._get_stored(
            subject, {"seq": after + 1, "next_by_subj": subject}
        ):
            message = await self._message(stored)
            after = message.sequence
            yield message

    async def _message(self, stored: dict[str, Any]) -> StoredMessage:
        headers = await self._client.read_headers(base64.b64decode(stored.get("hdrs", "")))
        body = base64.b64decode(stored.get("data", ""))
        return StoredMessage(stored["subject"], body, headers, stored["seq"])

    async def _get_stored(self, subject: str, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """A message of the stream that has this subject, in the broker's JSON.

        A direct get would be shorter, but it mixes the publisher's headers with the broker's, so
        that a header named Status looks like an error.
        """
        address = f"$JS.API.STREAM.MSG.GET.{self._stream_of(subject)}"
        request = json.dumps(wanted).encode()
        reply = await self._client.request(address, request, timeout=API_TIMEOUT_SECONDS)
        answer: dict[str, Any] = json.loads(reply.data)
        error = answer.get("error")
        if error and error["code"] != _NOT_FOUND:
            raise NatsError(error["description"])
        return answer.get("message")

    def _stream_of(self, subject: str) -> str:
        prefix = subject.partition(".")[0]
        streams = self._contract.streams.values()
        return next(stream.name for stream in streams if stream.prefix == prefix)

    async def stream_state(self, stream: str) -> StreamState:
        answer = await self._stream_info(stream)
        if answer is None:
            return StreamState()
        state, config = answer.state, answer.config
        max_bytes = max(config.max_bytes or 0, 0)  # -1: without a limit
        is_bounded = max_bytes > 0 or (config.max_msgs or 0) > 0
        return StreamState(
            first_sequence=state.first_seq,
            messages=state.messages,
            gaps=state.num_deleted or 0,
            fill_ratio=state.bytes / max_bytes if max_bytes else 0.0,
            max_age_seconds=config.max_age or 0,
            discards_old=is_bounded and config.discard == DiscardPolicy.OLD,
        )

    async def gaps(self, stream: str) -> Sequence[int]:
        answer = await self._stream_info(stream, deleted_details=True)
        return (answer.state.deleted if answer else None) or ()

    async def _stream_info(self, stream: str, **request: bool) -> StreamInfo | None:
        """None if there is no such stream. The client's own call can't ask for the gaps."""
        address = f"$JS.API.STREAM.INFO.{stream}"
        body = json.dumps(request).encode() if request else b""
        try:
            reply = await self._client.request(address, body, timeout=API_TIMEOUT_SECONDS)
            answer: dict[str, Any] = json.loads(reply.data)
            if "error" in answer:
                APIError.from_error(answer["error"])
        except NotFoundError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        found: StreamInfo = StreamInfo.from_response(answer)
        return found

    async def count(self, subject: str) -> int:
        wanted = {"seq": 1, "next_by_subj": subject, "batch": 1}
        address = f"$JS.API.DIRECT.GET.{self._stream_of(subject)}"
        try:
            first = await self._client.request(
                address, json.dumps(wanted).encode(), timeout=API_TIMEOUT_SECONDS
            )
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        behind = (first.headers or {}).get("Nats-Num-Pending")
        return 0 if behind is None else int(behind) + 1

    async def event_at(self, stream: str, sequence: int) -> str | None:
        jetstream = self._client.jetstream(timeout=API_TIMEOUT_SECONDS)
        try:
            # From the leader: a replica may lag behind, which is no loss.
            message = await jetstream.get_msg(stream, seq=sequence)
        except NotFoundError:
            return None
        except (NatsError, TimeoutError, OSError) as error:
            raise BrokerAway(repr(error)) from error
        return (message.headers or {}).get(EVENT_ID)
