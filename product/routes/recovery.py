"""The operators' route that books stock which was moved after the backup, before the release."""

from uuid import UUID

from litestar import Controller, post
from litestar.params import JSONBody

from chassis.web.access import OPERATORS
from chassis.web.actions import records
from chassis.web.error_codes import NOT_IN_RECOVERY_MODE
from chassis.web.errors import invalid
from chassis.web.idempotency import checked_key
from chassis.web.operations import check_recovery_mode
from chassis.web.schemas import Body, RequiredKey, Text, refusals
from product.commands import BookStock
from product.errors import INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND
from product.routes import ProductService
from product.routes.products import Delta, StockView


class StockBooking(Body):
    """`delta` in units: positive came in, negative was taken out, each after the backup."""

    product_id: UUID
    delta: Delta
    reason: Text = "RECOVERY"
    booked_by: Text | None = None


class BookingController(Controller):
    path = "/ops/recovery/bookings"
    tags = ("operations",)

    @post(
        status_code=200,
        summary="Book stock that the restored database lacks",
        guards=[OPERATORS],
        opt=records("RECOVERY_BOOK", on="productId"),
        responses=refusals(
            401, INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND, NOT_IN_RECOVERY_MODE, 422, body=True
        ),
    )
    async def book_lost_stock(
        self,
        data: JSONBody[StockBooking],
        service: ProductService,
        idempotency_key: RequiredKey,
    ) -> StockView:
        """The same as `PATCH /products/{productId}/stock`, which recovery mode executes too."""
        if data.delta == 0:
            raise invalid("delta", "send a number other than 0", "body")
        key = checked_key(idempotency_key)
        check_recovery_mode(service)
        command = BookStock(
            product_id=str(data.product_id),
            request_id=key,
            delta=data.delta,
            reason=data.reason,
            order_id=None,
            booked_by=data.booked_by,
        )
        done = await service.ask(command)
        return StockView(product_id=command.product_id, stock=done.result.balance_after)


ROUTES = [BookingController]
