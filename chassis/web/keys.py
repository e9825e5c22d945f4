"""The public keys whose access tokens are trusted: from a stream of the broker, or from a provider.

A token is checked without a call, also while the service that signs is away, and the broker too:
each key that was read is stored in the service's own database.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, OKPKey
from sqlalchemy import Connection, bindparam, select, text

from chassis.components import Component
from chassis.outbound import OutboundClient, Unavailable, read_answer
from chassis.service import Service
from chassis.storage.tables import Time, trusted_keys
from saga import envelope
from saga.envelope import MalformedMessage
from saga.errors import Outage, RetryLater
from saga.event import Event
from saga.unit_of_work import UnitOfWork

log = logging.getLogger(__name__)

REREAD_SECONDS = 1.0
"""So often at most the keys are read again for an unknown one: forged tokens name such."""

PROVIDER_REREAD_SECONDS = 10.0
PROVIDER_TIMEOUT_SECONDS = 5.0
MAX_KEY_SET_BYTES = 1_000_000


class PublishedKey(Protocol):
    """An event that publishes a key: the `x` of an Ed25519 JSON Web Key."""

    key_id: str
    public_key: str
    trusted_until: datetime


class _Published(NamedTuple):
    public_key: str
    trusted_until: datetime


class PublishedKeys(Component[UnitOfWork]):
    """The keys that events of one type publish, by key id. `event_type` is one of PublishedKey."""

    def __init__(self, event_type: type[Event]) -> None:
        self._event_type = event_type
        self._subject = envelope.subject_of(event_type)
        self._keys: dict[str, tuple[Key, datetime]] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._service: Service[Any]

    async def start(self, service: Service[Any]) -> None:
        self._service = service
        if not service.settings.auth or service.settings.auth_jwks_url:
            return
        self._add(await service.database.run(_stored))
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()

    async def find(self, key_id: str) -> Key | None:
        """The key of this id, while it is trusted; the stream is asked where it is unknown.

        Raises RetryLater.
        """
        if key_id not in self._keys:
            await self._read(at_most_every_seconds=REREAD_SECONDS)
        key, trusted_until = self._keys.get(key_id, (None, None))
        return key if trusted_until and self._service.clock() < trusted_until else None

    async def _follow(self) -> None:
        async with self._service.broker.notifications(self._subject) as published:
            while True:
                await published.wait()
                published.clear()
                with suppress(RetryLater, Outage):
                    await self._read(at_most_every_seconds=0)

    async def _read(self, *, at_most_every_seconds: float) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < at_most_every_seconds:
                return
            messages = await self._service.broker.history(self._subject)
            self._read_at = time.monotonic()
            contract = self._service.participant.reactions.contract
            found: dict[str, _Published] = {}
            for each in messages:
                with suppress(MalformedMessage):
                    event: Any = envelope.decode(
                        contract, each.subject, each.body, each.headers
                    ).event
                    found[event.key_id] = _Published(event.public_key, event.trusted_until)
            new = {key_id: each for key_id, each in found.items() if key_id not in self._keys}
            if new:
                await self._service.database.run(partial(_store, new))
                self._add(new)

    def _add(self, keys: Mapping[str, _Published]) -> None:
        for key_id, (public, trusted_until) in keys.items():
            parts: dict[str, str | list[str]] = {"kty": "OKP", "crv": "Ed25519", "x": public}
            self._keys[key_id] = OKPKey.import_key(parts), trusted_until


def _stored(connection: Connection) -> dict[str, _Published]:
    rows = connection.execute(select(trusted_keys))
    return {row.key_id: _Published(row.public_key, row.trusted_until) for row in rows}


_add = text(
    "INSERT INTO trusted_keys (key_id, public_key, trusted_until)"
    " VALUES (:key_id, :public_key, :trusted_until) ON CONFLICT DO NOTHING"
).bindparams(bindparam("trusted_until", type_=Time))


def _store(keys: Mapping[str, _Published], connection: Connection) -> None:
    """Another instance may store the same at the same time."""
    rows = [
        {"key_id": key_id, "public_key": public, "trusted_until": trusted_until}
        for key_id, (public, trusted_until) in keys.items()
    ]
    connection.execute(_add, rows)


class ProviderKeys:
    """The keys of an OpenID Connect provider: its JSON Web Key Set (RFC 7517)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = OutboundClient(
            "the provider of keys",
            timeout_seconds=PROVIDER_TIMEOUT_SECONDS,
            failures_to_open=10,
            recovery_seconds=PROVIDER_REREAD_SECONDS,
        )
        self._keys: dict[str, Key] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def find(self, key_id: str) -> Key | None:
        """The key of this id; the provider is asked where it is unknown. Raises RetryLater."""
        if key_id not in self._keys:
            async with self._reading:
                if time.monotonic() - self._read_at >= PROVIDER_REREAD_SECONDS:
                    await self._read()
        return self._keys.get(key_id)

    async def close(self) -> None:
        await self._client.close()

    async def _read(self) -> None:
        try:
            async with self._client.request("GET", self._url) as answer:
                content = await read_answer(answer, MAX_KEY_SET_BYTES)
            found = msgspec.json.decode(content, type=_KeySet) if answer.ok else None
        except Unavailable as error:
            raise RetryLater("the provider of keys does not answer; try again") from error
        except (ValueError, RecursionError) as error:
            raise RetryLater("the provider of keys gave no key set; try again") from error
        if found is None:
            raise RetryLater("the provider of keys answered with an error; try again")
        self._read_at = time.monotonic()
        self._keys = {key_id: key for each in found.keys for key_id, key in _usable(each)}


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


def _usable(described: dict[str, Any]) -> Iterator[tuple[str, Key]]:
    """A public key with an id. A provider may have keys of kinds that are not known here."""
    key_id = described.get("kid")
    if described.get("kty") in ("OKP", "EC", "RSA") and isinstance(key_id, str):
        try:
            yield key_id, JWKRegistry.import_key(described)
        except (JoseError, ValueError, KeyError) as error:
            log.warning("a key can't be used", extra={"keyId": key_id, "error": repr(error)})
