"""HTTP routes of products and their stock."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, delete, get, patch, post
from litestar.datastructures import ResponseHeader
from litestar.params import FromQuery, HeaderParameter, JSONBody, PathParameter, QueryParameter

from chassis.components import Component
from chassis.redis.read_cache import ReadCache
from chassis.service import Service
from chassis.web.access import PUBLIC
from chassis.web.actions import records
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.errors import invalid
from chassis.web.idempotency import checked_key, key_of, replay_headers
from chassis.web.schemas import (
    NO_NUL,
    Body,
    Label,
    LongText,
    OptionalKey,
    RequiredKey,
    Text,
    View,
    created,
    refusals,
)
from events.contract import MAX_AMOUNT, ProductStatus, RequestAmount
from product import store
from product.commands import BookStock, ChangeProduct, CreateProduct, no_product
from product.domain import Entry, Product
from product.errors import CATEGORY_UNKNOWN, INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND
from product.routes import SHOPKEEPERS, ProductService
from product.unit_of_work import ProductUnitOfWork

ProductId = Annotated[UUID, PathParameter(name="productId")]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
Delta = Annotated[int, msgspec.Meta(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
NamePart = Annotated[
    str | None,
    QueryParameter(name="query", max_length=200, pattern=NO_NUL, description="a part of the name"),
]
Category = Annotated[str | None, QueryParameter(max_length=200, pattern=NO_NUL)]


_SOURCE = ResponseHeader(
    name="X-Cache",
    description="Where it was read: MEMORY, REDIS or DATABASE.",
    documentation_only=True,
)


class NewProduct(Body):
    """`price` in KRW for one unit, `stock` in units."""

    name: Text
    price: RequestAmount
    stock: Count = 0
    description: LongText = ""
    category: Label = ""


class ProductChanges(Body):
    """A field that is left out stays as it is."""

    name: Text | None = None
    price: RequestAmount | None = None
    description: LongText | None = None
    category: Label | None = None
    status: ProductStatus | None = None


class StockChange(Body):
    """`delta` in units: positive brings stock in, negative takes it out.

    `bookedBy` names the person or system that books, as the client wishes.
    """

    delta: Delta
    reason: Text = "MANUAL"
    order_id: UUID | None = None
    booked_by: Text | None = None


class ProductView(View):
    """A product. `stock` is what can be bought now."""

    product_id: str
    name: str
    price: int
    stock: int
    description: str
    category: str
    status: ProductStatus


ProductPage = Annotated[Page[ProductView], shown_as("ProductPage")]


class StockView(View):
    """A product's units after a booking."""

    product_id: str
    stock: int


class Availability(View):
    """`reserved` units are held by orders not paid yet; they are not part of `available`."""

    product_id: str
    available: int
    reserved: int


class StockCache(ReadCache[Availability], Component[ProductUnitOfWork]):
    """The units that can be bought now, by product."""

    def __init__(self, redis_url: str | None) -> None:
        super().__init__("stock", Availability, redis_url)

    def committed(self, uow: ProductUnitOfWork) -> None:
        self.forget(uow.products.changed_keys)


class ProductController(Controller):
    path = "/products"
    tags = ("products",)

    @post(
        summary="Add a product to the catalogue",
        guards=[SHOPKEEPERS],
        opt=records("PRODUCT_CREATE", on="productId"),
        responses=refusals(CATEGORY_UNKNOWN, 422, body=True),
    )
    async def create_product(
        self,
        data: JSONBody[NewProduct],
        service: ProductService,
        idempotency_key: OptionalKey = None,
    ) -> Response[ProductView]:
        """Its first price and stock are published, and it can be ordered a moment later."""
        command = CreateProduct(
            product_id=service.new_id(),
            name=data.name,
            price=data.price,
            stock=data.stock,
            description=data.description,
            category=data.category,
        )
        done = await service.ask(command, key_of("products", idempotency_key, data))
        path = f"/products/{done.result.product_id}"
        return created(_product(done.result), path, headers=replay_headers(done))

    @get(summary="Search the products, oldest first", guards=[PUBLIC], responses=refusals())
    async def search_products(
        self,
        service: ProductService,
        paging: Paging,
        text: NamePart = None,
        category: Category = None,
        status: FromQuery[ProductStatus] = ProductStatus.ACTIVE,
    ) -> ProductPage:
        """By a part of the name and by category; DISCONTINUED ones only if asked for."""
        async with service.reading() as connection:
            found, total = await store.search(
                connection,
                text=text,
                category=category,
                status=status,
                offset=paging.offset,
                size=paging.size,
            )
        return paging.of([_product(each) for each in found], total)

    @get(
        "/{productId:str}",
        summary="One product",
        guards=[PUBLIC],
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def get_product(self, product_id: ProductId, service: ProductService) -> ProductView:
        """Discontinued products can be read, too."""
        return _product(await find(service, product_id))

    @patch(
        "/{productId:str}",
        summary="Change a product",
        guards=[SHOPKEEPERS],
        opt=records("PRODUCT_CHANGE", on="productId"),
        responses=refusals(CATEGORY_UNKNOWN, PRODUCT_NOT_FOUND, body=True),
    )
    async def change_product(
        self, product_id: ProductId, data: JSONBody[ProductChanges], service: ProductService
    ) -> ProductView:
        """Orders that are accepted already keep their prices."""
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
        summary="Discontinue a product; its history stays",
        guards=[SHOPKEEPERS],
        opt=records("PRODUCT_DISCONTINUE", on="productId"),
        responses=refusals(PRODUCT_NOT_FOUND),
    )
    async def discontinue_product(self, product_id: ProductId, service: ProductService) -> None:
        """It is no longer sold. Orders that are accepted already stay as they are. Idempotent."""
        await service.ask(
            ChangeProduct(product_id=str(product_id), status=ProductStatus.DISCONTINUED)
        )

    @patch(
        "/{productId:str}/stock",
        summary="Bring stock in or take it out",
        guards=[SHOPKEEPERS],
        opt=records("STOCK_BOOK", on="productId"),
        responses=refusals(INSUFFICIENT_STOCK, PRODUCT_NOT_FOUND, 422, body=True),
    )
    async def book_stock(
        self,
        product_id: ProductId,
        data: JSONBody[StockChange],
        service: ProductService,
        idempotency_key: RequiredKey,
    ) -> StockView:
        """The same Idempotency-Key again gives the first answer again, and books nothing."""
        if data.delta == 0:
            raise invalid("delta", "send a number other than 0", "body")
        command = BookStock(
            product_id=str(product_id),
            request_id=checked_key(idempotency_key),
            delta=data.delta,
            reason=data.reason,
            order_id=str(data.order_id) if data.order_id else None,
            booked_by=data.booked_by,
        )
        entry: Entry = (await service.ask(command)).result
        return StockView(product_id=entry.product_id, stock=entry.balance_after)

    @get(
        "/{productId:str}/stock",
        summary="The units that can be bought now",
        guards=[PUBLIC],
        responses=refusals(PRODUCT_NOT_FOUND),
        response_headers=[_SOURCE],
    )
    async def get_product_stock(
        self,
        product_id: ProductId,
        service: ProductService,
        cache_control: Annotated[
            str | None,
            HeaderParameter(name="Cache-Control", description="no-cache: read the database"),
        ] = None,
    ) -> Response[Availability]:
        """Never older than a second."""

        async def read() -> Availability:
            return Availability.of(await find(service, product_id))

        cache = service.components.of_type(StockCache)
        look_up = cache.fresh if "no-cache" in (cache_control or "") else cache.get
        availability, source = await look_up(str(product_id), read)
        return Response(availability, headers={"X-Cache": source.value})


async def find(service: Service[ProductUnitOfWork], product_id: UUID) -> Product:
    """Raises NotFound."""
    async with service.reading() as connection:
        product = await store.find_product(connection, str(product_id))
    if product is None:
        raise no_product(str(product_id))
    return product


def _product(product: Product) -> ProductView:
    return ProductView.of(product, stock=product.available)


ROUTES = [ProductController]
