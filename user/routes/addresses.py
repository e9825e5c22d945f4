"""HTTP routes of a user's address book."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.params import JSONBody, PathParameter

from chassis.service import Service
from chassis.web.access import Caller, CurrentCaller
from chassis.web.actions import records_for_others
from chassis.web.schemas import Body, Label, Text, View, created, refusals
from user import store
from user.addresses import SavedAddress
from user.commands import AddAddress, ChangeAddress, DeleteAddress, no_user
from user.errors import ADDRESS_BOOK_FULL, ADDRESS_NOT_FOUND, USER_NOT_FOUND
from user.routes import OWN, UserId, UserService
from user.unit_of_work import UserUnitOfWork

AddressId = Annotated[UUID, PathParameter(name="addressId")]


class NewAddress(Body):
    """`isDefault`: it becomes the default. The first address is it in any case."""

    street: Text
    postal_code: Text
    city: Text
    label: Label = ""
    is_default: bool = False


class AddressChanges(Body):
    """What is left out stays. `isDefault`: only true can be sent for the default address."""

    label: Label | None = None
    street: Text | None = None
    postal_code: Text | None = None
    city: Text | None = None
    is_default: bool | None = None


class AddressView(View):
    """An address. Orders may name its `addressId` a moment after it was added or changed."""

    address_id: str
    label: str
    street: str
    postal_code: str
    city: str
    is_default: bool


class AddressBook(View):
    """A user's addresses, the oldest first."""

    items: list[AddressView]


class AddressController(Controller):
    path = "/users/{userId:str}/addresses"
    tags = ("addresses",)

    @get(summary="A user's addresses", guards=[OWN], responses=refusals(USER_NOT_FOUND))
    async def list_addresses(
        self, user_id: UserId, service: UserService, caller: CurrentCaller
    ) -> AddressBook:
        """All of them: there are at most 20."""
        await _check(service, caller, str(user_id))
        async with service.reading() as connection:
            found = await store.find_book(connection, str(user_id))
        return AddressBook(items=[AddressView.of(each) for each in found])

    @post(
        summary="Add an address",
        guards=[OWN],
        opt=records_for_others("ADDRESS_ADD", on="userId"),
        responses=refusals(ADDRESS_BOOK_FULL, USER_NOT_FOUND, body=True),
    )
    async def add_address(
        self,
        user_id: UserId,
        data: JSONBody[NewAddress],
        service: UserService,
        caller: CurrentCaller,
    ) -> Response[AddressView]:
        """The first address of a user becomes the default."""
        await _check(service, caller, str(user_id))
        command = AddAddress(
            address_id=service.new_id(),
            user_id=str(user_id),
            label=data.label,
            street=data.street,
            postal_code=data.postal_code,
            city=data.city,
            is_default=data.is_default,
        )
        added: SavedAddress = (await service.ask(command)).result
        path = f"/users/{added.user_id}/addresses/{added.address_id}"
        return created(AddressView.of(added), path)

    @patch(
        "/{addressId:str}",
        summary="Change an address",
        guards=[OWN],
        opt=records_for_others("ADDRESS_CHANGE", on="addressId"),
        responses=refusals(ADDRESS_NOT_FOUND, USER_NOT_FOUND, body=True),
    )
    async def change_address(
        self,
        user_id: UserId,
        address_id: AddressId,
        data: JSONBody[AddressChanges],
        service: UserService,
        caller: CurrentCaller,
    ) -> AddressView:
        """An order that was placed with it keeps the address that it had then."""
        await _check(service, caller, str(user_id))
        command = ChangeAddress(
            address_id=str(address_id),
            user_id=str(user_id),
            label=data.label,
            street=data.street,
            postal_code=data.postal_code,
            city=data.city,
            is_default=data.is_default,
        )
        return AddressView.of((await service.ask(command)).result)

    @delete(
        "/{addressId:str}",
        summary="Delete an address",
        guards=[OWN],
        opt=records_for_others("ADDRESS_DELETE", on="addressId"),
        responses=refusals(ADDRESS_NOT_FOUND, USER_NOT_FOUND),
    )
    async def delete_address(
        self,
        user_id: UserId,
        address_id: AddressId,
        service: UserService,
        caller: CurrentCaller,
    ) -> None:
        """The oldest address that is left becomes the default, if this was it."""
        await _check(service, caller, str(user_id))
        await service.ask(DeleteAddress(address_id=str(address_id), user_id=str(user_id)))


async def _check(service: Service[UserUnitOfWork], caller: Caller, user_id: str) -> None:
    """Raises NotFound for another user, and for one who is unknown or erased."""
    if not caller.is_user(user_id):
        raise no_user(user_id)
    async with service.reading() as connection:
        user = await store.find_user(connection, user_id)
    if user is None or not user.is_active:
        raise no_user(user_id)


ROUTES = [AddressController]
