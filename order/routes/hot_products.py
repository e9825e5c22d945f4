"""Hot-product admission over HTTP, for operators."""

import asyncio
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, post
from litestar.params import PathParameter

from chassis.web.access import OPERATORS
from chassis.web.actions import records
from chassis.web.schemas import View, refusals
from order.commands import SetHotProduct
from order.errors import PRODUCT_NOT_FOUND
from order.hot_products import HotProductAdmission
from order.routes import OrderService

ProductId = Annotated[UUID, PathParameter(name="productId")]

LIMIT_WAIT_SECONDS = 2
LIMIT_POLL_SECONDS = 0.05


class HotProductView(View):
    """`limit` and `leased` in units: how many can be leased, and how many are.

    Null while Redis is away, or product has not published the limit: then every order is admitted.
    """

    product_id: str
    hot: bool
    limit: int | None
    leased: int | None


class HotProductController(Controller):
    path = "/admin/products"
    tags = ("operations",)

    @post(
        "/{productId:str}/hot",
        status_code=200,
        summary="Enable hot-product admission",
        guards=[OPERATORS],
        opt=records("HOT_PRODUCT_ENABLE", on="productId"),
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def enable_hot_product(
        self, product_id: ProductId, service: OrderService
    ) -> HotProductView:
        """Orders of the product then lease its units in Redis, or are refused there as sold out.

        Waits up to 2 s until product has published how many units are available. Idempotent.
        """
        await service.ask(SetHotProduct(product_id=str(product_id), hot=True))
        admission = service.components.of_type(HotProductAdmission)
        await admission.enable(str(product_id))
        return await _view(admission, str(product_id))

    @delete(
        "/{productId:str}/hot",
        summary="Disable hot-product admission",
        guards=[OPERATORS],
        opt=records("HOT_PRODUCT_DISABLE", on="productId"),
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def disable_hot_product(self, product_id: ProductId, service: OrderService) -> None:
        """Orders of the product are then admitted as all others are. Idempotent."""
        await service.ask(SetHotProduct(product_id=str(product_id), hot=False))
        await service.components.of_type(HotProductAdmission).disable(str(product_id))


async def _view(admission: HotProductAdmission, product_id: str) -> HotProductView:
    state = await admission.state(product_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(LIMIT_WAIT_SECONDS):
            while state is None:
                await asyncio.sleep(LIMIT_POLL_SECONDS)
                state = await admission.state(product_id)
    limit, leased = state or (None, None)
    return HotProductView(product_id=product_id, hot=True, limit=limit, leased=leased)


ROUTES = [HotProductController]
