"""Which products are hot: for operators."""

import asyncio
from contextlib import suppress
from typing import Annotated
from uuid import UUID

from litestar import Controller, delete, post
from litestar.params import PathParameter

from chassis.service import Service
from chassis.web.operations import operators_only
from chassis.web.schemas import View, refusals
from order.domain import Orders, SetHotProduct
from order.hot_products import HotProductAdmission

ProductId = Annotated[UUID, PathParameter(name="productId")]

WAIT_SECONDS = 2
LOOK_SECONDS = 0.05


class HotView(View):
    """`limit` and `leased` in units: what can be leased, and what is. Null while Redis or product
    have not spoken: then nobody is refused."""

    product_id: str
    hot: bool
    limit: int | None
    leased: int | None


class HotController(Controller):
    path = "/admin/products"
    tags = ("operations",)
    guards = (operators_only,)

    @post(
        "/{productId:str}/hot",
        status_code=200,
        summary="Put a gate in front of a hot product",
        responses=refusals(401, 404),
    )
    async def load(self, product_id: ProductId, service: Service[Orders]) -> HotView:
        """Orders of it are then counted in Redis first, and the sold-out are refused there.

        Waits up to 2 s for what product says is available. Twice changes nothing.
        """
        await service.ask(SetHotProduct(product_id=str(product_id), hot=True))
        gate = service.components.of_type(HotProductAdmission)
        await gate.set_hot(str(product_id), hot=True)
        return await _hot_state(gate, str(product_id))

    @delete(
        "/{productId:str}/hot",
        summary="Take the gate away",
        responses=refusals(401, 404),
    )
    async def unload(self, product_id: ProductId, service: Service[Orders]) -> None:
        await service.ask(SetHotProduct(product_id=str(product_id), hot=False))
        await service.components.of_type(HotProductAdmission).set_hot(str(product_id), hot=False)


async def _hot_state(gate: HotProductAdmission, product_id: str) -> HotView:
    state = await gate.state(product_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(WAIT_SECONDS):
            while state is None:
                await asyncio.sleep(LOOK_SECONDS)
                state = await gate.state(product_id)
    limit, leased = state or (None, None)
    return HotView(product_id=product_id, hot=True, limit=limit, leased=leased)


ROUTES = [HotController]
