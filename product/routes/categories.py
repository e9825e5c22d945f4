"""HTTP routes of categories, which products name."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, patch, post
from litestar.params import JSONBody, PathParameter

from chassis.web.access import PUBLIC
from chassis.web.actions import records
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.idempotency import key_of, replay_headers
from chassis.web.schemas import Body, OptionalKey, Text, View, created, refusals
from product import store
from product.commands import CreateCategory, RenameCategory, no_category
from product.errors import CATEGORY_EXISTS, CATEGORY_NOT_FOUND
from product.routes import SHOPKEEPERS, ProductService

CategoryId = Annotated[UUID, PathParameter(name="categoryId")]


class NamedCategory(Body):
    """A category's name, which no other one has."""

    name: Text


class CategoryView(View):
    """A category, which products name by its name."""

    category_id: str
    name: str


CategoryPage = Annotated[Page[CategoryView], shown_as("CategoryPage")]


class CategoryController(Controller):
    path = "/categories"
    tags = ("products",)

    @post(
        summary="Add a category",
        guards=[SHOPKEEPERS],
        opt=records("CATEGORY_CREATE", on="categoryId"),
        responses=refusals(CATEGORY_EXISTS, 422, body=True),
    )
    async def create_category(
        self,
        data: JSONBody[NamedCategory],
        service: ProductService,
        idempotency_key: OptionalKey = None,
    ) -> Response[CategoryView]:
        """409 when there is one of this name. Products can name it from then on."""
        command = CreateCategory(category_id=service.new_id(), name=data.name)
        done = await service.ask(command, key_of("categories", idempotency_key, data))
        view = CategoryView.of(done.result)
        path = f"/categories/{view.category_id}"
        return created(view, path, headers=replay_headers(done))

    @get(summary="All categories, by name", guards=[PUBLIC], responses=refusals())
    async def list_categories(self, service: ProductService, paging: Paging) -> CategoryPage:
        """A product names one of them, or none."""
        async with service.reading() as connection:
            found, total = await store.list_categories(
                connection, offset=paging.offset, size=paging.size
            )
        return paging.of([CategoryView.of(each) for each in found], total)

    @get(
        "/{categoryId:str}",
        summary="A category",
        guards=[PUBLIC],
        responses=refusals(CATEGORY_NOT_FOUND),
    )
    async def get_category(self, category_id: CategoryId, service: ProductService) -> CategoryView:
        """By its id, which stays when it is renamed."""
        async with service.reading() as connection:
            found = await store.find_category(connection, str(category_id))
        if found is None:
            raise no_category(str(category_id))
        return CategoryView.of(found)

    @patch(
        "/{categoryId:str}",
        summary="Rename a category",
        guards=[SHOPKEEPERS],
        opt=records("CATEGORY_RENAME", on="categoryId"),
        responses=refusals(CATEGORY_NOT_FOUND, CATEGORY_EXISTS, body=True),
    )
    async def rename_category(
        self, category_id: CategoryId, data: JSONBody[NamedCategory], service: ProductService
    ) -> CategoryView:
        """Its products have the new name then."""
        command = RenameCategory(category_id=str(category_id), name=data.name)
        return CategoryView.of((await service.ask(command)).result)


ROUTES = [CategoryController]
