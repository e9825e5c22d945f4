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
from tests.kit.client import ROOT, SERVICES, Shop, order

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
A_FEW = 10
"""Examples of each operation, besides those at the limits of what its document allows."""


@pytest.mark.parametrize("service", SERVICES)
async def test_every_answer_is_as_documented(
    fuzzed_shop: Shop, tmp_path: Path, service: str
) -> None:
    configuration = tmp_path / CONFIGURATION.name
    template = Template(CONFIGURATION.read_text())
    configuration.write_text(template.substitute(await something_of_each_kind(fuzzed_shop)))
    document = f"{fuzzed_shop.environment[f'{service.upper()}_URL']}/schema/openapi.json"
    repeatable = () if ASKED_FOR else ("--generation-deterministic",)

    fuzzing = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", configuration, "run", document),
        *("--max-examples", str(ASKED_FOR or A_FEW), *repeatable, "--no-color"),
        cwd=tmp_path,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.correctness.fuzz.checks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    report, _ = await fuzzing.communicate()

    assert fuzzing.returncode == 0, report.decode()


async def test_audit_is_clean_after_fuzzing(fuzzed_shop: Shop) -> None:
    """Requests that were accepted on the way had their whole effect."""
    assert await found_wrong(fuzzed_shop) == []


async def something_of_each_kind(shop: Shop) -> dict[str, str]:
    """Ids by what they are ids of, and a dead letter in every service."""
    product, customer = await shop.create_product(100, 1_000), await shop.create_wallet(1_000_000)
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
        "token": shop.environment["OPS_TOKEN"],
    }
