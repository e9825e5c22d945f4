"""The coupon service's tables: loading the rows of a batch, saving what changed, reading."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.storage.mapping import Mapped
from chassis.storage.tables import Krw64, Time, Uuid, index_unsettled, one_of
from coupon.domain import (
    UNSETTLED,
    Coupon,
    Coupons,
    DiscountType,
    Hold,
    HoldState,
    IssueCoupon,
    IssuedCoupon,
)
from events.contract import OrderCreated
from saga.unit_of_work import Rows, values_of

schema = MetaData()

holds_table = Table(
    "holds",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("state", one_of(HoldState), nullable=False),
    Column("issued_coupon_id", Uuid, index=True),
    Column("discount_amount", Krw64, nullable=False),
    Column("updated_at", Time, nullable=False),
)
index_unsettled(holds_table, UNSETTLED)

coupons_table = Table(
    "coupons",
    schema,
    Column("coupon_id", Uuid, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("discount_type", one_of(DiscountType), nullable=False),
    Column("discount_value", BigInteger, nullable=False),
    Column("min_order_amount", Krw64, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("issued", Integer, nullable=False),
    Column("valid_from", Time),
    Column("valid_until", Time),
    Column("created_at", Time, nullable=False),
    CheckConstraint("issued BETWEEN 0 AND quantity", name="never_one_too_many"),
)

issued_table = Table(
    "issued_coupons",
    schema,
    Column("issued_coupon_id", Uuid, primary_key=True),
    Column("coupon_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("discount_type", one_of(DiscountType), nullable=False),
    Column("discount_value", BigInteger, nullable=False),
    Column("min_order_amount", Krw64, nullable=False),
    Column("valid_from", Time),
    Column("valid_until", Time),
    Column("order_id", Uuid),
    Column("issued_at", Time, nullable=False),
    Column("used_at", Time),
    UniqueConstraint("coupon_id", "customer_id", name="one_for_each_customer"),
    Index("issued_coupons_of_customer", "customer_id", "issued_at"),
)

_holds: Mapped[str, Hold] = Mapped(holds_table, Hold, "order_id")
_coupons: Mapped[str, Coupon] = Mapped(coupons_table, Coupon, "coupon_id")
_issued: Mapped[str, IssuedCoupon] = Mapped(issued_table, IssuedCoupon, "issued_coupon_id")


def load(connection: Connection, messages: Sequence[object], now: datetime) -> Coupons:
    """The orders' rows, the coupons that they name or hold, and the definitions being issued."""
    holds = _holds.load(connection, "order_id", values_of(messages, "order_id"))
    ordered = [message for message in messages if isinstance(message, OrderCreated)]
    issuing = [message for message in messages if isinstance(message, IssueCoupon)]
    wanted = {*values_of(ordered, "coupon_id"), *values_of(holds.loaded, "issued_coupon_id")}
    return Coupons(
        now,
        holds,
        _coupons.load(connection, "coupon_id", values_of(issuing, "coupon_id")),
        _issued.load(connection, "issued_coupon_id", sorted(wanted)),
        _issued_already(connection, issuing),
    )


def save(connection: Connection, coupons: Coupons) -> None:
    _holds.save(connection, coupons.holds)
    _coupons.save(connection, coupons.coupons)
    _issued.save(connection, coupons.issued)


def _issued_already(
    connection: Connection, issuing: Sequence[IssueCoupon]
) -> Rows[tuple[str, str], IssuedCoupon]:
    if not issuing:
        return Rows()
    query = select(*_issued.columns).where(
        issued_table.c.coupon_id.in_({each.coupon_id for each in issuing}),
        issued_table.c.customer_id.in_({each.customer_id for each in issuing}),
    )
    rows = [_issued.row(row) for row in connection.execute(query)]
    return Rows({(row.coupon_id, row.customer_id): row for row in rows})


# ---------------------------------------------------------------- reading


async def find_coupon(connection: AsyncConnection, coupon_id: str) -> Coupon | None:
    return await _coupons.find(connection, "coupon_id", coupon_id)


async def find_issued(connection: AsyncConnection, issued_coupon_id: str) -> IssuedCoupon | None:
    return await _issued.find(connection, "issued_coupon_id", issued_coupon_id)


async def issued_to(
    connection: AsyncConnection, customer_id: str, *, offset: int, size: int
) -> tuple[list[IssuedCoupon], int]:
    """A customer's coupons, newest first, and how many there are."""
    columns = issued_table.c
    order = (columns.issued_at.desc(), columns.issued_coupon_id)
    his = columns.customer_id == customer_id
    return await _issued.page(connection, his, *order, offset=offset, size=size)
