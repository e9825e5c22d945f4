"""Published keys: read from the stream, stored, and trusted until their time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from joserfc.jwk import OKPKey
from sqlalchemy import create_engine

from chassis.storage.tables import metadata
from chassis.web.keys import PublishedKeys
from events.contract import CONTRACT, SigningKeyPublished
from saga import envelope

NOW = datetime(2030, 1, 1, tzinfo=UTC)
KEY_ID = "01a1fd5b-b50e-7c02-8f6b-7d1f5e2a9b10"
PUBLIC = str(OKPKey.generate_key("Ed25519").as_dict(private=False)["x"])


class Service:
    """A service with a database, whose broker has these messages."""

    def __init__(self) -> None:
        self.now = NOW
        self.asked = 0
        self.messages: list[Any] = []
        self.engine = create_engine("sqlite://")
        metadata.create_all(self.engine)
        self.settings = SimpleNamespace(auth=True, auth_jwks_url=None)
        self.participant = SimpleNamespace(reactions=SimpleNamespace(contract=CONTRACT))
        self.broker = self.database = self

    def clock(self) -> datetime:
        return self.now

    async def history(self, subject: str) -> list[Any]:
        assert subject == "keys.*.SigningKeyPublished"
        self.asked += 1
        return self.messages

    async def run(self, work: Any) -> Any:
        with self.engine.begin() as connection:
            return work(connection)

    @asynccontextmanager
    async def notifications(self, _: str) -> AsyncIterator[asyncio.Event]:
        yield asyncio.Event()


def published(trusted_until: datetime) -> Any:
    """The message of a key."""
    event = SigningKeyPublished(key_id=KEY_ID, public_key=PUBLIC, trusted_until=trusted_until)
    outbound = envelope.encode(event, NOW)
    header = envelope.headers(outbound, "user")
    return SimpleNamespace(subject=outbound.subject, body=outbound.body, headers=header)


@asynccontextmanager
async def started(service: Any) -> AsyncIterator[PublishedKeys]:
    found = PublishedKeys(SigningKeyPublished)
    await found.start(service)
    try:
        yield found
    finally:
        await found.close()


async def test_key_is_read_once_and_known_after_a_restart_without_the_broker() -> None:
    service = Service()
    service.messages = [published(NOW + timedelta(minutes=10))]
    async with started(service) as first:
        assert await first.find(KEY_ID) is not None
        assert await first.find(KEY_ID) is not None
    assert service.asked == 1
    service.messages = []
    async with started(service) as second:
        assert await second.find(KEY_ID) is not None
    assert service.asked == 1


async def test_key_is_trusted_until_its_last_token_has_expired() -> None:
    service = Service()
    service.messages = [published(NOW + timedelta(minutes=10))]
    async with started(service) as known:
        service.now = NOW + timedelta(minutes=9)
        assert await known.find(KEY_ID) is not None
        service.now = NOW + timedelta(minutes=10)
        assert await known.find(KEY_ID) is None


async def test_stream_is_not_read_for_each_forged_token() -> None:
    service = Service()
    async with started(service) as known:
        for number in range(5):
            assert await known.find(f"forged-{number}") is None
    assert service.asked == 1


async def test_malformed_message_hides_no_key() -> None:
    service = Service()
    malformed = SimpleNamespace(subject="keys.x.SigningKeyPublished", body=b"{", headers={})
    service.messages = [malformed, published(NOW + timedelta(minutes=10))]
    async with started(service) as known:
        assert await known.find(KEY_ID) is not None


async def test_without_sign_in_nothing_is_read() -> None:
    service = Service()
    service.settings.auth = False
    async with started(service):
        pass
    assert service.asked == 0
