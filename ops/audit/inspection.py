"""One audit, from the addresses to the report."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from chassis.settings import load
from events.participants import PARTICIPANTS
from infra.stack.config import StackError
from ops.audit import (
    card_payments,
    coupons,
    personal,
    platform_deliveries,
    sales,
    stock,
    stream,
    waiting,
    wallets,
)
from ops.audit.acknowledgements import load as load_acknowledgements
from ops.audit.delivery import Deliveries
from ops.audit.findings import CannotRead, Discrepancy, Report
from ops.audit.orders import Orders
from ops.audit.sources import databases
from ops.audit.tolerance import Tolerance
from ops.deployment import Deployment, find
from order.settings import Settings
from saga.choreography import graph
from saga.errors import ConfigurationError

QUIET_SECONDS = 5.0
LIMIT_SECONDS = 60.0


def audit(
    environment: Mapping[str, str] = os.environ,
    *,
    quiet_seconds: float = QUIET_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
) -> list[Discrepancy]:
    """Everything that does not add up in the deployment that these variables name.

    Blocks, and runs an event loop of its own: `await asyncio.to_thread(audit, environment)`.
    Raises CannotRead when a database, the broker or a simulator's statement can't be read.
    """
    report = inspect(environment, quiet_seconds=quiet_seconds, limit_seconds=limit_seconds)
    return list(report.discrepancies)


def inspect(
    environment: Mapping[str, str] = os.environ,
    *,
    quiet_seconds: float = QUIET_SECONDS,
    limit_seconds: float = LIMIT_SECONDS,
    recovering: str | None = None,
) -> Report:
    """The same, with what was looked at. The package's docstring explains the order of reading.

    `recovering`: a service in recovery mode; orders may wait for it for any time.
    """
    shop = find(environment)
    try:
        shop.require(["NATS_URL", *(f"{service.upper()}_DATABASE_URL" for service in PARTICIPANTS)])
    except StackError as error:
        raise CannotRead(str(error)) from error
    flow = graph.load()
    configured = _settings(shop)
    tolerance = Tolerance(
        began_at=datetime.now(UTC),
        quiet_seconds=quiet_seconds,
        limit_seconds=limit_seconds,
        inbox_seconds=configured.retention_seconds,
        wait_seconds=configured.wait_timeout_seconds,
        recovering=recovering,
    )
    floors = stream.floors(shop)
    try:
        with databases(shop) as found:
            deliveries = Deliveries(found, flow, floors, tolerance)
            orders = Orders(found, deliveries, tolerance)
            results = [*wallets.checks(found["payment"]), *stock.checks(found["product"])]
            results += waiting.checks(found["product"])
            results += [*coupons.checks(found["coupon"]), *orders.checks(flow)]
            results += sales.checks(found["product"])
            charges = card_payments.charges(found["payment"])
            held_of_people = personal.PersonalData(found, flow.contract.streams, tolerance)
            sent = platform_deliveries.deliveries(found["dataplatform"])
    except msgspec.DecodeError as error:
        raise CannotRead(
            f"An order's lines are not the JSON that they should be: {error}"
        ) from error
    contents = stream.contents(shop)
    with databases(shop) as later:
        erased = personal.erasures(later)
    results += deliveries.checks(contents, {each.user_id for each in erased})
    results += held_of_people.checks(contents)
    postings = card_payments.statement(shop.gateway_url) if shop.gateway_url else None
    if postings is not None:
        results += card_payments.checks(postings, charges, tolerance)
    lines = platform_deliveries.statement(shop.platform_url) if shop.platform_url else None
    results += platform_deliveries.checks(lines, orders, sent, tolerance)
    held = orders.waiting(flow)
    statements = {"the payment gateway": postings, "the data platform": lines}
    return Report(
        results=tuple(results),
        orders=len(orders.all),
        unjudged=(*orders.unjudged(held), *deliveries.unjudged()),
        waiting=tuple(held),
        not_compared=tuple(name for name, given in statements.items() if given is None),
        acknowledgements=load_acknowledgements(shop),
    )


def _settings(shop: Deployment) -> Settings:
    recorded = shop.stack.settings if shop.stack else {}
    try:
        return load(Settings, "order", PARTICIPANTS["order"], recorded | dict(shop.environment))
    except ConfigurationError as error:
        raise CannotRead(str(error)) from error
