"""One audit, from the addresses to the report."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from chassis.settings import load
from events.participants import PARTICIPANTS
from infra.stack import config
from ops.audit import (
    card_payments,
    coupons,
    platform_deliveries,
    sales,
    stock,
    stream,
    waiting,
    wallets,
)
from ops.audit.delivery import Deliveries
from ops.audit.findings import CannotRead, Discrepancy, Report
from ops.audit.orders import Orders
from ops.audit.sources import databases
from ops.audit.tolerance import Tolerance
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
    """Everything that does not add up in the stack that runs in this environment's STATE_DIR.

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
) -> Report:
    """The same, with what was looked at. The package's docstring explains the order of reading."""
    stack = config.recorded(config.state_dir(environment))
    if stack is None:
        raise CannotRead("The stack is not running. Run: make up")
    flow = graph.load()
    configured = _settings(environment)
    tolerance = Tolerance(
        began_at=datetime.now(UTC),
        quiet_seconds=quiet_seconds,
        limit_seconds=limit_seconds,
        inbox_seconds=configured.retention_seconds,
        wait_seconds=configured.wait_timeout_seconds,
    )
    floors = stream.floors(stack)
    try:
        with databases(stack, environment) as found:
            deliveries = Deliveries(found, flow, floors, tolerance)
            orders = Orders(found, deliveries, tolerance)
            results = [*wallets.checks(found["payment"]), *stock.checks(found["product"])]
            results += waiting.checks(found["product"])
            results += [*coupons.checks(found["coupon"]), *orders.checks(flow)]
            results += sales.checks(found["product"])
            charges = card_payments.charges(found["payment"])
            sent = platform_deliveries.deliveries(found["dataplatform"])
    except msgspec.DecodeError as error:
        raise CannotRead(
            f"An order's lines are not the JSON that they should be: {error}"
        ) from error
    results += deliveries.checks(stream.contents(stack))
    postings = card_payments.statement(stack.gateway_url)
    if postings is not None:  # else the gateway gives no statement, and is not checked
        results += card_payments.checks(postings, charges, tolerance)
    url = stack.url("platform") if stack.simulates_platform else None
    lines = platform_deliveries.statement(url) if url else None
    results += platform_deliveries.checks(lines, orders, sent, tolerance)
    under_way = len(orders.all) - len(orders.checked)
    return Report(results=tuple(results), orders=len(orders.all), under_way=under_way)


def _settings(environment: Mapping[str, str]) -> Settings:
    try:
        return load(Settings, "order", PARTICIPANTS["order"], environment)
    except ConfigurationError as error:
        raise CannotRead(str(error)) from error
