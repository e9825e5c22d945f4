"""No log of a run has a password, a token, an e-mail or a postal address in it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.e2e.api.signed import Signed
from tests.kit.client import COFFEE, RICH, ROOT, SERVICES, Json, free_port, order

PASSWORD = f"purple-{uuid4().hex}"
WRONG_PASSWORD = f"yellow-{uuid4().hex}"
STREET = f"{uuid4().hex} Main Street"
POSTAL_CODE = f"P{uuid4().hex[:9]}"
DATABASE_PASSWORD = f"orange{uuid4().hex}"


async def test_logs_of_a_run_hold_no_secret(signed: Signed) -> None:
    environment = signed.wire.shop.environment
    email, unknown = f"{uuid4().hex}@shop.test", f"{uuid4().hex}@shop.test"
    tokens = await use_accounts(signed, email, unknown)
    await order_with_address(signed)
    await send_what_is_malformed(signed, email)
    # A restart, so that the logs hold the last lines and the first ones of a process, too.
    for service in ("user", "order"):
        await asyncio.to_thread(signed.wire.shop.command, "kill", service)
        await signed.wire.shop.wait_until_ready(service)

    secrets = [email, unknown, PASSWORD, WRONG_PASSWORD, STREET, POSTAL_CODE, *tokens]
    secrets += [environment["OPS_TOKEN"], *signed.tokens.values()]
    secrets += [value for name, value in environment.items() if name.endswith("_PASSWORD")]
    secrets.remove("garbage")
    logs = read_all(Path(environment["STATE_DIR"], "logs"))
    assert {f"{service}.log" for service in SERVICES} <= logs.keys()
    assert "emitted" in logs["order.log"]
    leaks = {(name, secret) for name, text in logs.items() for secret in secrets if secret in text}
    assert leaks == set()


def read_all(folder: Path) -> dict[str, str]:
    return {each.name: each.read_text(errors="replace") for each in folder.iterdir()}


async def use_accounts(signed: Signed, email: str, unknown: str) -> list[str]:
    """Sign up, in, wrongly in, and out. Returns the tokens."""

    async def call(path: str, body: Json) -> Json:
        answer = await signed.wire.send_json("user", "POST", f"/api/v1/{path}", body)
        return answer.body if isinstance(answer.body, dict) else {}

    credentials = {"email": email, "password": PASSWORD}
    await call("users", credentials | {"name": "Kim"})
    await call("users", credentials | {"name": "Kim"})
    await call("auth/login", credentials | {"password": WRONG_PASSWORD})
    await call("auth/login", credentials | {"email": unknown})
    given = [await call("auth/login", credentials)]
    for _ in range(2):
        given.append(await call("auth/refresh", {"refreshToken": given[-1]["refreshToken"]}))
    await call("auth/refresh", {"refreshToken": given[0]["refreshToken"]})
    await call("auth/logout", {"refreshToken": given[-1]["refreshToken"]})
    tokens = [each[name] for each in given for name in ("accessToken", "refreshToken")]
    assert len(tokens) == 6
    return tokens


async def order_with_address(signed: Signed) -> None:
    """One that completes, and one that a rule refuses."""
    shop = signed.wire.shop
    token = f"Bearer {signed.tokens['customer']}"
    address = {"street": STREET, "postalCode": POSTAL_CODE, "city": "Seoul"}
    body = order(RICH, (COFFEE, 1)) | {"address": address}
    placed = await signed.wire.send_json(
        "order", "POST", "/api/v1/orders", body, authorization=token
    )
    assert placed.status == 202, placed
    await shop.wait_for_events(placed.body["orderId"], "OrderCompleted")
    wrong = body | {"price": 1}
    refused = await signed.wire.send_json(
        "order", "POST", "/api/v1/orders", wrong, authorization=token
    )
    assert refused.status == 400, refused


async def send_what_is_malformed(signed: Signed, email: str) -> None:
    """Secrets in fields, queries, paths and headers that are not for them."""
    token = signed.tokens["customer"]
    for service, path in (("user", "auth/login"), ("user", "users"), ("order", "orders")):
        for body in ({"email": [email], "password": {"x": PASSWORD}}, [PASSWORD, STREET]):
            await signed.wire.send_json(service, "POST", f"/api/v1/{path}", body)
        broken = f'{{"password": "{PASSWORD}", "street": "{STREET}"'.encode()
        await signed.wire.send(service, "POST", f"/api/v1/{path}", broken)
        query = f"?password={PASSWORD}&token={token}&email={email}"
        await signed.wire.send(service, "POST", f"/api/v1/{path}{query}")
        await signed.wire.send(service, "GET", f"/api/v1/{path}/{PASSWORD}")
        headers = {"authorization": f"Bearer {token}{PASSWORD}", "traceparent": PASSWORD}
        await signed.wire.send(service, "GET", f"/api/v1/{path}", headers=headers)


@pytest.mark.parametrize("service", SERVICES)
def test_process_that_can_not_use_its_database_url_hides_the_password(
    service: str, tmp_path: Path
) -> None:
    with running(service, f"postgresql://shop:{DATABASE_PASSWORD}@:port/shop", tmp_path) as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the database's URL is malformed" in printed
    assert DATABASE_PASSWORD not in printed


def test_process_that_waits_for_its_database_hides_the_password(tmp_path: Path) -> None:
    url = f"postgresql://shop:{DATABASE_PASSWORD}@127.0.0.1:1/shop"
    with running("order", url, tmp_path) as process:
        assert process.stdout
        printed = process.stdout.readline()
        process.terminate()
        printed += process.communicate(timeout=60)[0]
    assert "database" in printed
    assert DATABASE_PASSWORD not in printed


@contextmanager
def running(service: str, url: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A service's process with this database and with secrets in other addresses."""
    environment = os.environ | {
        f"{service.upper()}_DATABASE_URL": url,
        f"{service.upper()}_PORT": str(free_port()),
        "STATE_DIR": str(folder),
        "NATS_URL": f"nats://shop:{DATABASE_PASSWORD}@127.0.0.1:1",
        "DATA_PLATFORM_URL": "http://127.0.0.1:1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", service],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
