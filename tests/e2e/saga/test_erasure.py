"""Erasure of a user: whatever happens meanwhile, the order ends and the person is gone."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from events.participants import PARTICIPANTS
from tests.e2e.api.test_addresses import HOME, WORK, Book, place_when_known, shown
from tests.e2e.api.test_users import PASSWORD, log_in, refresh, sign_up
from tests.e2e.audit_fixtures import database_file, found_wrong
from tests.e2e.saga.test_recovery_mode import backed_up, restored
from tests.kit.client import COFFEE, Json, Shop, open_shop, order, running_stack, wait_until


@pytest.fixture(scope="module")
def erasing_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    with running_stack(tmp_path_factory.mktemp("erasing"), REPEAT_AFTER_SECONDS="2") as environment:
        yield environment


@pytest.fixture
async def shop(erasing_stack: Mapping[str, str]) -> AsyncIterator[Shop]:
    """A stack that may be broken. Events are retransmitted after two seconds."""
    async with open_shop(erasing_stack) as shop:
        await shop.wait_until_ready()
        yield shop


class Person:
    """A user with an address that occurs nowhere else, and with an order that was shipped to it."""

    def __init__(self, shop: Shop, account: Json) -> None:
        self.shop = shop
        self.user_id = str(account["userId"])
        self.email = str(account["email"])
        self.secret = f"{uuid4()} Street"
        self.orders: list[str] = []

    async def settle(self) -> None:
        book = Book(self.shop, self.user_id)
        self.address = (await book.add(HOME | {"street": self.secret}))["addressId"]
        await self.order()

    async def order(self, product: str = COFFEE) -> str:
        body = order(self.user_id, (product, 1), addressId=self.address)
        self.orders.append(await place_when_known(self.shop, body))
        return self.orders[-1]

    async def erase(self) -> None:
        answer = await self.shop.call("user", "DELETE", f"/api/v1/users/{self.user_id}")
        assert answer.status == 202, answer

    def in_databases(self) -> list[str]:
        """Where the databases hold the street, the address of the account or its name."""
        words = (self.secret, self.email)
        return [
            f"{service}.{table}"
            for service in PARTICIPANTS
            for table, row in _rows(database_file(self.shop.environment, service))
            if any(word in row for word in words)
        ]

    async def in_streams(self) -> list[str]:
        """The subjects of PERSONAL that name the user, and whatever else names the street."""
        async with self.shop.nats() as client:
            jetstream = client.jetstream()
            info = await jetstream.stream_info(
                "PERSONAL", subjects_filter=f"personal.{self.user_id}.>"
            )
            return list(info.state.subjects or {})

    async def is_known(self) -> None:
        assert {
            "user.users",
            "user.addresses",
            "order.addresses",
            "order.shipping_addresses",
        } <= set(self.in_databases())

        async def is_published() -> bool:
            return len(await self.in_streams()) == 1 + len(self.orders)

        await wait_until(is_published, "the broker has the addresses")

    def state(self) -> str:
        file = database_file(self.shop.environment, "user")
        with closing(sqlite3.connect(file)) as database:
            query = "SELECT state FROM users WHERE user_id = ?"
            [(state,)] = database.execute(query, (self.user_id,)).fetchall()
        return str(state)

    async def is_gone(self, *, done: bool = True) -> None:
        async def is_gone() -> bool:
            return not self.in_databases() and not await self.in_streams()

        await wait_until(is_gone, "nothing of the person is left", 60)
        if done:

            async def is_done() -> bool:
                return self.state() == "ERASED"

            await wait_until(is_done, "the erasure is done", 60)
            assert not self.in_databases()
            assert not await self.in_streams()


def _rows(file: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        names = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (name,) in names:
            for row in database.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 - a table's name
                yield name, str(row)


async def person(shop: Shop) -> Person:
    found = Person(shop, await sign_up(shop))
    await found.settle()
    await found.is_known()
    return found


async def test_erasure_waits_for_what_is_stopped_and_orders_under_way_end(shop: Shop) -> None:
    """The order waits for its payment; order is stopped, user is killed, the broker is away."""
    who = await person(shop)
    await asyncio.to_thread(shop.command, "stop", "payment")
    pending = await who.order()
    await shop.wait_for_events(pending, "StockDecremented")
    await asyncio.to_thread(shop.command, "stop", "order")

    await who.erase()
    assert {each.partition(".")[0] for each in who.in_databases()} == {"order"}
    assert who.state() == "ERASING"
    await asyncio.to_thread(shop.command, "kill", "user")
    await asyncio.to_thread(shop.command, "stop", "nats")
    for part in ("order", "nats", "payment"):
        await asyncio.to_thread(shop.command, "start", part)

    await who.is_gone()
    ended = await shop.wait_until_ended(pending)
    assert (ended["status"], ended["address"]) == ("FAILED", None)
    await shop.wait_until_ready()
    await shop.wait_until_idle()
    assert await found_wrong(shop) == []


async def test_lost_broker_store_is_filled_again_without_the_erased(shop: Shop) -> None:
    """The store is lost after one erasure, and in the middle of another one."""
    gone, going, staying = await person(shop), await person(shop), await person(shop)
    await gone.erase()
    await gone.is_gone()
    await going.erase()
    await asyncio.to_thread(shop.command, "stop", "nats")
    shutil.rmtree(Path(shop.environment["STATE_DIR"], "nats"))
    await asyncio.to_thread(shop.command, "start", "nats")
    await shop.wait_until_ready()
    await staying.is_known()
    await going.is_gone()
    await gone.is_gone()
    await shop.wait_until_idle()
    assert await found_wrong(shop) == []


@pytest.mark.parametrize("service", ["order", "user"])
async def test_restored_database_is_erased_again(shop: Shop, service: str, tmp_path: Path) -> None:
    """The backup has a person who was erased since, and lacks the address of another one."""
    who, staying = await person(shop), await person(shop)
    await shop.wait_until_ended(who.orders[0])
    backup = await backed_up(shop, service, tmp_path)
    later = Book(shop, staying.user_id)
    kept = (await later.add({**WORK, "label": "later"}))["addressId"]
    shipped = await place_when_known(shop, order(staying.user_id, (COFFEE, 1), addressId=kept))
    await shop.wait_until_ended(shipped)
    await who.erase()
    await who.is_gone()
    await shop.wait_until_idle()

    async with restored(shop, service, backup) as findings:
        assert findings == []

    await who.is_gone()
    assert (await shop.get("order", f"/api/v1/orders/{shipped}"))["address"] == WORK
    assert [each["label"] for each in await later.items()] == ["home", "later"]
    assert (await shop.get("order", f"/api/v1/orders/{who.orders[0]}"))["address"] is None
    assert await found_wrong(shop) == []


async def test_export_has_all_that_is_stored_of_a_person(shop: Shop) -> None:
    who, other = await person(shop), await person(shop)
    await log_in(shop, who.email)
    path = f"/api/v1/users/{who.user_id}/export"
    export = await shop.get("user", path)
    assert export["user"]["email"] == who.email
    assert [each["street"] for each in export["addresses"]] == [who.secret]
    assert [each["state"] for each in export["sessions"]] == ["ACTIVE"]
    assert {each["name"]: each["body"]["address"]["street"] for each in export["events"]} == {
        "AddressChanged": who.secret,
        "ShippingAddressGiven": who.secret,
    }
    text = json.dumps(export)
    assert other.secret not in text
    assert not any(word in text for word in ("hash", "argon2", PASSWORD))
    await asyncio.to_thread(shop.command, "stop", "nats")
    try:
        answer = await shop.call("user", "GET", path)
        assert (answer.status, answer.body["error"]) == (503, "RETRY_LATER")
    finally:
        await asyncio.to_thread(shop.command, "start", "nats")
        await shop.wait_until_ready()


async def test_erased_user_is_gone_everywhere_and_the_orders_stay(shop: Shop) -> None:
    who, other = await person(shop), await person(shop)
    signed_in = await log_in(shop, who.email)
    await shop.wait_until_ended(who.orders[0])

    await who.erase()

    assert (await log_in(shop, who.email)).body["error"] == "BAD_CREDENTIALS"
    refreshed = await refresh(shop, signed_in.body["refreshToken"])
    assert refreshed.body["error"] == "TOKEN_INVALID"
    for path in ("", "/addresses", "/export"):
        answer = await shop.call("user", "GET", f"/api/v1/users/{who.user_id}{path}")
        assert (answer.status, answer.body["error"]) == (404, "USER_NOT_FOUND")
    await who.is_gone()
    shown_order = await shop.get("order", f"/api/v1/orders/{who.orders[0]}")
    assert (shown_order["address"], shown_order["totalAmount"]) == (None, 5_000)
    for address in ({"address": shown(HOME)}, {"addressId": who.address}):
        body = order(who.user_id, (COFFEE, 1), **address)
        refused = await shop.call("order", "POST", "/api/v1/orders", body)
        assert (refused.status, refused.body["error"]) == (400, "ACCOUNT_ERASED")
    again = await sign_up(shop, email=who.email)
    assert again["userId"] != who.user_id
    await other.is_known()
    assert await found_wrong(shop) == []
