"""Signing up, signing in, and refresh tokens, on a real stack."""

import asyncio
from collections import Counter
from typing import Any
from uuid import uuid4

from tests.kit.client import Json, Response, Shop, wait_until

PASSWORD = "seven red umbrellas"


async def sign_up(shop: Shop, **more: str) -> Json:
    """A new user, with the address that was registered."""
    body = {"email": f"{uuid4()}@shop.test", "password": PASSWORD, "name": "Kim"} | more
    answer = await shop.call("user", "POST", "/api/v1/users", body)
    assert answer.status == 201, answer
    return {**answer.body, "location": answer.headers["Location"]}


async def log_in(shop: Shop, email: str, password: str = PASSWORD) -> Response:
    body = {"email": email, "password": password}
    return await shop.call("user", "POST", "/api/v1/auth/login", body)


async def refresh(shop: Shop, token: str) -> Response:
    return await shop.call("user", "POST", "/api/v1/auth/refresh", {"refreshToken": token})


async def test_signing_up_opens_an_empty_wallet(shop: Shop) -> None:
    user = await sign_up(shop)
    assert user["location"] == f"/api/v1/users/{user['userId']}"
    assert (await shop.get("user", f"/api/v1/users/{user['userId']}"))["roles"] == ["customer"]

    async def has_wallet() -> bool:
        answer = await shop.call("payment", "GET", f"/api/v1/wallets/{user['userId']}")
        return answer.status == 200 and answer.body["balance"] == 0

    await wait_until(has_wallet, "the wallet is open")


async def test_of_parallel_sign_ups_with_one_address_one_succeeds(shop: Shop) -> None:
    name = str(uuid4())
    spellings = [f"{name}@shop.test", f"{name.upper()}@Shop.Test"] * 3
    body: Json = {"password": PASSWORD, "name": "Kim"}
    answers = await asyncio.gather(
        *(shop.call("user", "POST", "/api/v1/users", body | {"email": each}) for each in spellings)
    )
    assert Counter(each.status for each in answers) == {201: 1, 409: 5}
    assert {each.body["error"] for each in answers if each.status == 409} == {"USER_EXISTS"}


async def test_unknown_address_and_wrong_password_get_the_same_answer(shop: Shop) -> None:
    user = await sign_up(shop)
    wrong = await log_in(shop, user["email"], "a wrong password")
    unknown = await log_in(shop, f"{uuid4()}@shop.test")
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body
    assert wrong.body["error"] == "BAD_CREDENTIALS"


async def test_account_waits_after_wrong_passwords(shop: Shop) -> None:
    user = await sign_up(shop)
    answers = [await log_in(shop, user["email"], "a wrong password") for _ in range(6)]
    assert [each.status for each in answers] == [401] * 5 + [429]
    assert answers[-1].body["error"] == "TOO_MANY_TRIES"
    assert int(answers[-1].headers["Retry-After"]) >= 1
    other = await sign_up(shop)
    assert (await log_in(shop, other["email"])).status == 200

    async def may_sign_in() -> bool:
        return (await log_in(shop, user["email"])).status == 200

    await wait_until(may_sign_in, "the delay is over")


async def test_session_lives_by_refresh_tokens(shop: Shop) -> None:
    user = await sign_up(shop)
    signed_in = await log_in(shop, user["email"].upper())
    assert signed_in.headers["Cache-Control"] == "no-store"
    assert signed_in.body["expiresIn"] == 600
    cookie = signed_in.headers["Set-Cookie"]
    assert cookie.startswith(f"access_token={signed_in.body['accessToken']};")
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    token = signed_in.body["refreshToken"]
    for _ in range(3):
        refreshed = await refresh(shop, token)
        assert refreshed.status == 200, refreshed
        token = refreshed.body["refreshToken"]
    signed_out = await shop.call("user", "POST", "/api/v1/auth/logout", {"refreshToken": token})
    assert signed_out.status == 204
    assert "Max-Age=0" in signed_out.headers["Set-Cookie"]
    assert (await refresh(shop, token)).body["error"] == "TOKEN_INVALID"


async def test_of_parallel_refreshes_one_wins_and_the_session_goes_on(shop: Shop) -> None:
    user = await sign_up(shop)
    token = (await log_in(shop, user["email"])).body["refreshToken"]
    answers = await asyncio.gather(*(refresh(shop, token) for _ in range(5)))
    assert Counter(each.status for each in answers) == {200: 1, 409: 4}
    assert {each.body["error"] for each in answers if each.status == 409} == {"TOKEN_JUST_ROTATED"}
    winner = next(each for each in answers if each.status == 200)
    assert (await refresh(shop, winner.body["refreshToken"])).status == 200


async def test_old_refresh_token_ends_the_session(shop: Shop) -> None:
    user = await sign_up(shop)
    oldest = (await log_in(shop, user["email"])).body["refreshToken"]
    older = (await refresh(shop, oldest)).body["refreshToken"]
    newest = (await refresh(shop, older)).body["refreshToken"]
    assert (await refresh(shop, oldest)).body["error"] == "TOKEN_REUSED"
    assert (await refresh(shop, newest)).body["error"] == "TOKEN_INVALID"


async def test_forged_refresh_token_is_refused(shop: Shop) -> None:
    user = await sign_up(shop)
    token = (await log_in(shop, user["email"])).body["refreshToken"]
    for forged in ("x", f"{uuid4()}.x", "%00", "a" * 200):
        answer = await refresh(shop, forged)
        assert (answer.status, answer.body["error"]) == (401, "TOKEN_INVALID"), answer
    assert (await refresh(shop, token)).status == 200


async def test_new_password_ends_sessions(shop: Shop) -> None:
    user = await sign_up(shop)
    token = (await log_in(shop, user["email"])).body["refreshToken"]
    path = f"/api/v1/users/{user['userId']}/password"

    async def change(**body: Any) -> Response:
        return await shop.call("user", "PUT", path, body)

    weak = await change(current=PASSWORD, new="password1")
    assert (weak.status, weak.body["error"]) == (400, "WEAK_PASSWORD")
    wrong = await change(current="a wrong one", new="eleven green lamps")
    assert (wrong.status, wrong.body["error"]) == (401, "BAD_CREDENTIALS")
    assert (await change(current=PASSWORD, new="eleven green lamps")).status == 204
    assert (await refresh(shop, token)).status == 401
    assert (await log_in(shop, user["email"])).status == 401
    assert (await log_in(shop, user["email"], "eleven green lamps")).status == 200
