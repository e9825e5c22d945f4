"""The product service over HTTP."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.params import HeaderParameter, PathParameter, QueryParameter

from chassis.components import Component
from chassis.redis.read_cache import ReadCache
from chassis.service import Service
from chassis.web.app import idempotency, required_key
from chassis.web.schemas import (
    NO_NUL,
    Body,
    Label,
    LongText,
    OptionalKey,
    Page,
    Size,
    Text,
    View,
    refusals,
)
from events.contract import MAX_AMOUNT, ProductStatus, RequestAmount
from product import store
from product.domain import (
    BookStock,
    ChangeProduct,
    CreateProduct,
    Entry,
    Product,
    Shelves,
    no_product,
)
from saga.errors import Invalid

ProductId = Annotated[UUID, PathParameter(name="productId")]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
Delta = Annotated[int, msgspec.Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
NamePart = Annotated[
    str | None,
    QueryParameter(name="query", max_length=200, pattern=NO_NUL, description="a part of the name"),
]
Category = Annotated[str | None, QueryParameter(max_length=200, pattern=NO_NUL)]


class NewProduct(Body):
    """`price` in won for one unit, `stock` in units."""

    name: Text
    price: RequestAmount
    stock: Count = 0
    description: LongText = ""
    category: Label = ""


class ProductChanges(Body):
    """What is left out stays as it is."""

    name: Text | None = None
    price: RequestAmount | None = None
    description: LongText | None = None
    category: Label | None = None
    status: ProductStatus | None = None


class StockChange(Body):
    """`delta` in units: positive brings stock in, negative takes it out.

    `bookedBy` says who does so, in whatever words the client has for that.
    """

    delta: Delta
    reason: Text = "MANUAL"
    order_id: UUID | None = None
    booked_by: Text | None = None


class ProductView(View):
    product_id: str
    name: str
    price: int
    stock: int
    description: str
    category: str
    status: ProductStatus


class ProductPage(View):
    items: list[ProductView]
    page: int
    size: int
    total: int


class StockView(View):
    product_id: str
    stock: int


class Availability(View):
    """`reserved` is held by orders that are not paid yet; it is not part of `available`."""

    product_id: str
    available: int
    reserved: int


class StockCache(ReadCache[Availability], Component[Shelves]):
    """What can be bought now, by product."""

    def __init__(self, redis_url: str | None) -> None:
        super().__init__("stock", Availability, redis_url)

    def committed(self, shelves: Shelves) -> None:
        self.forget(shelves.products.changed_keys)


class ProductController(Controller):
    path = "/products"
    tags = ("products",)

    @post(summary="Put a product on offer", responses=refusals(422, body=True))
    async def create(
        self, data: NewProduct, service: Service[Shelves], idempotency_key: OptionalKey = None
    ) -> Response[ProductView]:
        command = CreateProduct(
            product_id=service.new_id(),
            name=data.name,
            price=data.price,
            stock=data.stock,
            description=data.description,
            category=data.category,
        )
        done = await service.ask(command, idempotency("products", idempotency_key, data))
        headers = {"Location": f"/api/v1/products/{done.result.product_id}"}
        return Response(_product(done.result), status_code=201, headers=headers)

    @get(summary="Search the products, oldest first", responses=refusals())
    async def search(
        self,
        service: Service[Shelves],
        text: NamePart = None,
        category: Category = None,
        status: ProductStatus = ProductStatus.ACTIVE,
        page: Page = 0,
        size: Size = 20,
    ) -> ProductPage:
        async with service.reading() as connection:
            found, total = await store.search(
                connection,
                text=text,
                category=category,
                status=status,
                offset=page * size,
                size=size,
            )
        return ProductPage(
            items=[_product(each) for each in found], page=page, size=size, total=total
        )

    @get("/{productId:str}", summary="One product", responses=refusals(404))
    async def read(self, product_id: ProductId, service: Service[Shelves]) -> ProductView:
        return _product(await find(service, product_id))

    @patch("/{productId:str}", summary="Change a product", responses=refusals(404, body=True))
    async def change(
        self, product_id: ProductId, data: ProductChanges, service: Service[Shelves]
    ) -> ProductView:
        """Orders on their way keep the prices they were accepted with."""
        command = ChangeProduct(
            product_id=str(product_id),
            name=data.name,
            price=data.price,
            description=data.description,
            category=data.category,
            status=data.status,
        )
        return _product((await service.ask(command)).result)

    @delete(
        "/{productId:str}",
        summary="Take a product off the shop; its history stays",
        responses=refusals(404),
    )
    async def discontinue(self, product_id: ProductId, service: Service[Shelves]) -> None:
        await service.ask(
            ChangeProduct(product_id=str(product_id), status=ProductStatus.DISCONTINUED)
        )

    @patch(
        "/{productId:str}/stock",
        summary="Bring stock in or take it out",
        responses=refusals(404, 422, body=True),
    )
    async def book(
        self,
        product_id: ProductId,
        data: StockChange,
        service: Service[Shelves],
        idempotency_key: OptionalKey = None,
    ) -> StockView:
        """Needs an Idempotency-Key; the same key again gives the first answer."""
        if data.delta == 0:
            raise Invalid("delta: send a number other than 0")
        key = required_key(idempotency_key)
        idempotency("", key, data)  # refuses a key that is no printable ASCII
        command = BookStock(
            product_id=str(product_id),
            request_id=key,
            delta=data.delta,
            reason=data.reason,
            order_id=str(data.order_id) if data.order_id else None,
            booked_by=data.booked_by,
        )
        entry: Entry = (await service.ask(command)).result
        return StockView(product_id=entry.product_id, stock=entry.balance_after)

    @get("/{productId:str}/stock", summary="What can be bought now", responses=refusals(404))
    async def stock(
        self,
        product_id: ProductId,
        service: Service[Shelves],
        cache_control: Annotated[
            str | None,
            HeaderParameter(name="Cache-Control", description="no-cache: ask the database"),
        ] = None,
    ) -> Response[Availability]:
        """Never older than a second. `X-Cache` says where it was: MEMORY, REDIS or DATABASE."""

        async def read() -> Availability:
            return Availability.of(await find(service, product_id))

        cache = service.components.of_type(StockCache)
        look_up = cache.fresh if "no-cache" in (cache_control or "") else cache.get
        availability, source = await look_up(str(product_id), read)
        return Response(availability, headers={"X-Cache": source.value})


async def find(service: Service[Shelves], product_id: UUID) -> Product:
    """Raises NotFound."""
    async with service.reading() as connection:
        product = await store.find_product(connection, str(product_id))
    if product is None:
        raise no_product(str(product_id))
    return product


def _product(product: Product) -> ProductView:
    return ProductView.of(product, stock=product.available)


ROUTES = [ProductController]
