"""Whatever is sent to a route, its answer is one that its OpenAPI document names."""

import asyncio
import os
import sys
from pathlib import Path
from string import Template
from uuid import uuid4

import pytest

from tests.correctness.fuzz.examples import ASKED_FOR
from tests.e2e.audit_fixtures import found_wrong
from tests.e2e.saga.broker_stream import publish
from tests.kit.client import RICH, ROOT, SERVICES, Shop, order

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
A_FEW = 10
"""Examples of each operation, besides those at the limits of what its document allows."""


ALL_ROLES, CUSTOMER, NOT_SIGNED_IN = "of all roles", "a customer", "not signed in"
CALLERS = [
    (service, caller)
    for service in SERVICES
    for caller in (ALL_ROLES, CUSTOMER, NOT_SIGNED_IN)
    if ASKED_FOR
    or caller == ALL_ROLES
    or (caller == CUSTOMER) == (service in ("order", "coupon", "payment"))
]
"""What a caller may not do is answered early: each service is tried by one such, where no more is
asked for. The caller of all roles also sends each request without a token (`ignored_auth`)."""

AUTH = """
[auth.openapi.accessToken]
bearer = "{access}"
[auth.openapi.operators]
bearer = "{operators}"
"""


@pytest.mark.parametrize(("service", "caller"), CALLERS)
async def test_every_answer_is_as_documented(
    fuzzed_shop: Shop, tmp_path: Path, service: str, caller: str
) -> None:
    customer = await fuzzed_shop.create_wallet(1_000_000) if caller == ALL_ROLES else RICH
    named = await something_of_each_kind(fuzzed_shop, customer)
    named["auth"] = await tokens_of(fuzzed_shop, caller)
    configuration = tmp_path / CONFIGURATION.name
    configuration.write_text(Template(CONFIGURATION.read_text()).substitute(named))
    document = f"{fuzzed_shop.environment[f'{service.upper()}_URL']}/schema/openapi.json"
    repeatable = () if ASKED_FOR else ("--generation-deterministic",)
    # The boundaries of every field are tried once, by the caller who gets furthest.
    phases = () if caller == ALL_ROLES else ("--phases", "fuzzing")
    examples = ASKED_FOR or (A_FEW if caller == ALL_ROLES else 1)

    fuzzing = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", configuration, "run", document, *phases),
        *("--max-examples", str(examples), *repeatable, "--no-color"),
        cwd=tmp_path,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.correctness.fuzz.checks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await fuzzing.communicate()

    assert fuzzing.returncode == 0, report.decode()


async def tokens_of(shop: Shop, caller: str) -> str:
    """The part of the configuration with a caller's tokens."""
    if caller == NOT_SIGNED_IN:
        return ""
    account = {"email": "customer@shop.test", "password": shop.environment["CUSTOMER_PASSWORD"]}
    if caller == ALL_ROLES:
        account = {"email": f"{uuid4()}@shop.test", "password": "nine tall towers"}
        roles = ["customer", "shopkeeper", "operator"]
        body = account | {"name": "All", "roles": roles}
        await shop.send("user", "POST", "/api/v1/admin/users", body)
    access = (await shop.send("user", "POST", "/api/v1/auth/login", account))["accessToken"]
    is_operator = caller == ALL_ROLES
    return AUTH.format(
        access=access, operators=shop.environment["OPS_TOKEN"] if is_operator else access
    )


async def test_audit_is_clean_after_fuzzing(fuzzed_shop: Shop) -> None:
    """Requests that were accepted on the way had their whole effect."""
    assert await found_wrong(fuzzed_shop) == []


async def something_of_each_kind(shop: Shop, customer: str) -> dict[str, str]:
    """Ids by what they are ids of, of this customer's, and a dead letter in every service."""
    product = await shop.create_product(100, 1_000)
    issued = await shop.create_coupon(customer, discountValue=10)
    ended = await shop.buy(order(customer, (product, 1), couponId=issued))
    [paid] = await shop.payments(ended["orderId"])
    spare = await shop.create_coupon(customer)
    coupon = (await shop.get("coupon", f"/api/v1/issued-coupons/{spare}"))["couponId"]
    async with shop.nats() as client:
        for name in ("OrderCreated", "CouponUsed", "StockDecremented", "PaymentCompleted"):
            await publish(client, f"saga.{uuid4()}.{name}", b"no JSON")
    await shop.wait_until_idle()
    return {
        "customer": customer,
        "product": product,
        "order": ended["orderId"],
        "payment": paid["paymentId"],
        "coupon": coupon,
        "issued_coupon": spare,
    }
