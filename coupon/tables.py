"""The coupon service's tables, and how their rows are loaded and written."""

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
)

from chassis.storage.mapping import Mapped
from chassis.storage.migrations import Upgrade, add_column
from chassis.storage.tables import Integer64, Time, Uuid, index_unsettled, one_of
from coupon.domain import (
    UNSETTLED,
    Coupon,
    DefinitionStatus,
    DiscountType,
    Hold,
    HoldState,
    IssuedCoupon,
)

schema = MetaData()

holds_table = Table(
    "holds",
    schema,
    Column("order_id", Uuid, primary_key=True),
    Column("state", one_of(HoldState), nullable=False),
    Column("issued_coupon_id", Uuid, index=True),
    Column("discount_amount", Integer64, nullable=False),
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
    Column("min_order_amount", Integer64, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("issued", Integer, nullable=False),
    Column("valid_from", Time),
    Column("valid_until", Time),
    Column("created_at", Time, nullable=False),
    Column(
        "status",
        one_of(DefinitionStatus, is_checked=False),
        nullable=False,
        server_default=DefinitionStatus.ACTIVE,
    ),
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
    Column("min_order_amount", Integer64, nullable=False),
    Column("valid_from", Time),
    Column("valid_until", Time),
    Column("order_id", Uuid),
    Column("issued_at", Time, nullable=False),
    Column("used_at", Time),
    Column("revoked_at", Time),
    UniqueConstraint("coupon_id", "customer_id", name="one_for_each_customer"),
    Index("issued_coupons_of_customer", "customer_id", "issued_at"),
)

holds: Mapped[str, Hold] = Mapped(holds_table, Hold, "order_id")
coupons: Mapped[str, Coupon] = Mapped(coupons_table, Coupon, "coupon_id")
issued: Mapped[str, IssuedCoupon] = Mapped(issued_table, IssuedCoupon, "issued_coupon_id")


def _add_management(connection: Connection) -> None:
    add_column(connection, coupons_table.c.status)
    add_column(connection, issued_table.c.revoked_at)


UPGRADES = (Upgrade(6, _add_management),)
