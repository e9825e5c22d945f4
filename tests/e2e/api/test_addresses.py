"""Address books, and orders that are shipped to an address of one."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

from tests.e2e.api.test_users import sign_up
from tests.kit.client import COFFEE, Json, Response, Shop, order, wait_until

HOME = {"label": "home", "street": "123 Main St", "postalCode": "12345", "city": "Seoul"}
WORK = {"street": "1 Sejong-daero", "postalCode": "04524", "city": "서울"}


def shown(body: Json) -> Json:
    return {name: body[name] for name in ("street", "postalCode", "city")}


async def order_of(shop: Shop, order_id: str) -> Json:
    found: Json = await shop.get("order", f"/api/v1/orders/{order_id}")
    return found


class Book:
    """A new user's address book."""

    def __init__(self, shop: Shop, user_id: str) -> None:
        self.shop = shop
        self.user_id = user_id
        self.path = f"/api/v1/users/{user_id}/addresses"

    async def add(self, body: Json) -> Json:
        answer = await self.shop.call("user", "POST", self.path, body)
        assert answer.status == 201, answer
        added: Json = answer.body
        assert answer.headers["Location"] == f"{self.path}/{added['addressId']}"
        return added

    async def change(self, address_id: str, **changes: Any) -> Response:
        return await self.shop.call("user", "PATCH", f"{self.path}/{address_id}", changes)

    async def delete(self, address_id: str) -> Response:
        return await self.shop.call("user", "DELETE", f"{self.path}/{address_id}")

    async def items(self) -> list[Json]:
        found: list[Json] = (await self.shop.get("user", self.path))["items"]
        return found

    async def defaults(self) -> list[str]:
        return [each["addressId"] for each in await self.items() if each["isDefault"]]


async def book_of(shop: Shop) -> Book:
    return Book(shop, (await sign_up(shop))["userId"])


async def place_when_known(shop: Shop, body: Json) -> str:
    """Place an order as soon as the order service knows its address."""
    answers: list[Response] = []

    async def is_placed() -> bool:
        answers.append(await shop.call("order", "POST", "/api/v1/orders", body))
        if answers[-1].status == 400:
            assert answers[-1].body["error"] == "ADDRESS_NOT_FOUND"
        return answers[-1].status == 202

    await wait_until(is_placed, "the order service knows the address")
    return str(answers[-1].body["orderId"])


async def test_first_address_is_the_default_until_another_one_is_chosen(shop: Shop) -> None:
    book = await book_of(shop)
    assert await book.items() == []
    home = await book.add(HOME)
    assert home == {**HOME, "addressId": home["addressId"], "isDefault": True}
    work = await book.add(WORK)
    assert (work["label"], work["isDefault"]) == ("", False)
    changed = await book.change(work["addressId"], label="work", isDefault=True)
    assert changed.body == {**work, "label": "work", "isDefault": True}
    assert await book.defaults() == [work["addressId"]]
    refused = await book.change(work["addressId"], isDefault=False)
    assert (refused.status, refused.body["error"]) == (400, "VALIDATION_ERROR")
    assert (await book.delete(work["addressId"])).status == 204
    assert await book.items() == [home], "the oldest one that is left"
    assert (await book.delete(home["addressId"])).status == 204
    for answer in (await book.delete(home["addressId"]), await book.change(home["addressId"])):
        assert (answer.status, answer.body["error"]) == (404, "ADDRESS_NOT_FOUND")
    assert await book.items() == []


async def test_book_is_limited_and_has_one_default_after_parallel_requests(shop: Shop) -> None:
    book = await book_of(shop)
    bodies = [HOME | {"isDefault": True}] * 24
    answers = await asyncio.gather(*(shop.call("user", "POST", book.path, body) for body in bodies))
    assert Counter(each.status for each in answers) == {201: 20, 400: 4}
    assert {each.body["error"] for each in answers if each.status == 400} == {"ADDRESS_BOOK_FULL"}
    assert len(await book.items()) == 20
    assert len(await book.defaults()) == 1


async def test_order_keeps_a_snapshot_of_its_address(shop: Shop) -> None:
    book = await book_of(shop)
    home = await book.add(HOME)
    body = order(book.user_id, (COFFEE, 1), addressId=home["addressId"])
    order_id = await place_when_known(shop, body)
    await book.change(home["addressId"], **WORK)

    async def is_changed() -> bool:
        later = await shop.place(body)
        return shown((await order_of(shop, later))["address"]) == WORK

    await wait_until(is_changed, "the change has reached the order service")
    assert (await order_of(shop, order_id))["address"] == shown(HOME)
    await book.delete(home["addressId"])

    async def is_refused() -> bool:
        answer = await shop.call("order", "POST", "/api/v1/orders", body)
        return answer.status == 400 and answer.body["error"] == "ADDRESS_NOT_FOUND"

    await wait_until(is_refused, "a deleted address can't be used")
    listed = await shop.get("order", f"/api/v1/orders?customerId={book.user_id}")
    assert {str(shown(each["address"])) for each in listed["items"]} == {
        str(shown(HOME)),
        str(WORK),
    }


async def test_checkout_ships_to_an_address_of_the_book(shop: Shop) -> None:
    book = await book_of(shop)
    home = await book.add(HOME)
    cart = f"/api/v1/carts/{book.user_id}"
    await shop.send("order", "POST", f"{cart}/items", {"productId": COFFEE, "quantity": 1})
    placed: list[Response] = []

    async def is_placed() -> bool:
        body = {"addressId": home["addressId"]}
        placed.append(await shop.call("order", "POST", f"{cart}/checkout", body))
        return placed[-1].status == 202

    await wait_until(is_placed, "the order service knows the address")
    assert (await order_of(shop, placed[-1].body["orderId"]))["address"] == shown(HOME)


async def test_address_of_another_user_and_two_addresses_are_refused(shop: Shop) -> None:
    book, other = await book_of(shop), await book_of(shop)
    home = await book.add(HOME)
    await place_when_known(shop, order(book.user_id, (COFFEE, 1), addressId=home["addressId"]))
    for code, options in (
        ("ADDRESS_NOT_FOUND", {"addressId": home["addressId"]}),
        ("ADDRESS_NOT_FOUND", {"addressId": str(uuid4())}),
        ("VALIDATION_ERROR", {"addressId": home["addressId"], "address": WORK}),
    ):
        body = order(other.user_id, (COFFEE, 1), **options)
        answer = await shop.call("order", "POST", "/api/v1/orders", body)
        assert (answer.status, answer.body["error"]) == (400, code)
    foreign = await shop.call("user", "DELETE", f"{other.path}/{home['addressId']}")
    assert (foreign.status, foreign.body["error"]) == (404, "ADDRESS_NOT_FOUND")
