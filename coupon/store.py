"""The coupon service's rows: loading those of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from coupon import tables
from coupon.commands import BookIssued, ChangeCoupon, IssueCoupon, RevokeIssued
from coupon.domain import Coupon, IssuedCoupon
from coupon.unit_of_work import CouponUnitOfWork
from events.contract import CouponUsed, OrderCreated
from saga.unit_of_work import Rows, values_of


def load(connection: Connection, messages: Sequence[object], now: datetime) -> CouponUnitOfWork:
    """The orders' rows, the coupons that they name or hold, and the definitions being issued."""
    holds = tables.holds.load(connection, "order_id", values_of(messages, "order_id"))
    ordered = [message for message in messages if isinstance(message, OrderCreated | CouponUsed)]
    issuing = [message for message in messages if isinstance(message, IssueCoupon | BookIssued)]
    booked = values_of((m for m in messages if isinstance(m, BookIssued)), "issued_coupon_id")
    if booked:
        holds |= tables.holds.load(connection, "issued_coupon_id", booked)
    revoked = [message for message in messages if isinstance(message, RevokeIssued)]
    wanted = {*values_of(ordered, "coupon_id"), *values_of(holds.loaded, "issued_coupon_id")}
    wanted.update(booked, values_of(revoked, "issued_coupon_id"))
    changed = [message for message in messages if isinstance(message, ChangeCoupon)]
    return CouponUnitOfWork(
        now,
        holds,
        tables.coupons.load(connection, "coupon_id", values_of([*issuing, *changed], "coupon_id")),
        tables.issued.load(connection, "issued_coupon_id", sorted(wanted)),
        _load_issued_to(connection, issuing),
    )


def save(connection: Connection, uow: CouponUnitOfWork) -> None:
    tables.holds.save(connection, uow.holds)
    tables.coupons.save(connection, uow.coupons)
    tables.issued.save(connection, uow.issued)


def _load_issued_to(
    connection: Connection, issuing: Sequence[IssueCoupon | BookIssued]
) -> Rows[tuple[str, str], IssuedCoupon]:
    if not issuing:
        return Rows()
    columns = tables.issued_table.c
    query = select(*tables.issued.columns).where(
        columns.coupon_id.in_({each.coupon_id for each in issuing}),
        columns.customer_id.in_({each.customer_id for each in issuing}),
    )
    rows = [tables.issued.row(row) for row in connection.execute(query)]
    return Rows({(row.coupon_id, row.customer_id): row for row in rows})


# ---------------------------------------------------------------- reading


async def find_coupon(connection: AsyncConnection, coupon_id: str) -> Coupon | None:
    return await tables.coupons.find(connection, "coupon_id", coupon_id)


async def list_coupons(
    connection: AsyncConnection, *, offset: int, size: int
) -> tuple[list[Coupon], int]:
    """The definitions, newest first, and how many there are."""
    newest = tables.coupons_table.c.coupon_id.desc()  # ids begin with the time
    return await tables.coupons.page(connection, true(), newest, offset=offset, size=size)


async def find_issued(connection: AsyncConnection, issued_coupon_id: str) -> IssuedCoupon | None:
    return await tables.issued.find(connection, "issued_coupon_id", issued_coupon_id)


async def list_issued(
    connection: AsyncConnection, customer_id: str, *, offset: int, size: int
) -> tuple[list[IssuedCoupon], int]:
    """A customer's coupons, newest first, and how many there are."""
    columns = tables.issued_table.c
    newest = (columns.issued_at.desc(), columns.issued_coupon_id)
    matching = columns.customer_id == customer_id
    return await tables.issued.page(connection, matching, *newest, offset=offset, size=size)
