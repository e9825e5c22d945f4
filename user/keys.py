"""Signing keys: adding one when it is due, and signing with the newest that may sign."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.processing.timers import Find
from chassis.settings import Settings as ChassisSettings
from saga.errors import RetryLater
from user import store, tokens
from user.commands import AddKey
from user.domain import SigningKey
from user.settings import Settings

CHECK_SECONDS = 0.5


def find_due(new_id: Callable[[], str]) -> Find:
    """The timer's function: a key is added when the newest one is as old as a key may be."""

    async def find(
        connection: AsyncConnection, now: datetime, settings: ChassisSettings
    ) -> Sequence[object]:
        assert isinstance(settings, Settings)
        newest = await store.newest_key(connection)
        lasts = timedelta(seconds=settings.key_seconds)
        if newest is not None and newest.created_at > now - lasts:
            return ()
        private, public = tokens.new_key()
        return (
            AddKey(
                key_id=new_id(),
                private_key=private,
                public_key=public,
                signs_seconds=settings.key_seconds,
            ),
        )

    return find


async def signing_key(connection: AsyncConnection, now: datetime) -> SigningKey:
    """Raises RetryLater in the moment before the first key."""
    key = await store.signing_key(connection, now)
    if key is None:
        raise RetryLater("the first signing key is being made; try again")
    return key
