"""How the user service adopts what it had published before its database was restored."""

from events.contract import (
    CONTRACT,
    AddressChanged,
    SigningKeyPublished,
    UserErased,
    UserRegistered,
)
from saga.adoption import Adoptions
from user.addresses import SavedAddress
from user.unit_of_work import UserUnitOfWork

adoptions = Adoptions(CONTRACT)


@adoptions.rule
def adopt_registered(event: UserRegistered, uow: UserUnitOfWork) -> str | None:
    """Address and password are in no event: a user who signed up after the backup is unknown."""
    if event.user_id in uow.users:
        return None
    return f"user {event.user_id} signed up after the backup, and has to sign up again"


@adoptions.rule
def adopt_key(event: SigningKeyPublished, uow: UserUnitOfWork) -> str | None:
    """The half that signs is gone. Its tokens stay valid; a new key is added when one is due."""
    del event, uow
    return None


@adoptions.rule
def adopt_address(event: AddressChanged, uow: UserUnitOfWork) -> str | None:
    """The address is as its newest version, unless its user is unknown or erased."""
    known, user = uow.addresses.get(event.address_id), uow.users.get(event.user_id)
    if user is not None and not user.is_active:
        uow.erase(event.user_id)  # the stream is not purged yet, and the event must not return
    if user is None or not user.is_active or (known and known.version >= event.version):
        return None
    address = event.address
    uow.addresses[event.address_id] = SavedAddress(
        address_id=event.address_id,
        user_id=event.user_id,
        version=event.version,
        label=event.label or "",
        street=address.street if address else "",
        postal_code=address.postal_code if address else "",
        city=address.city if address else "",
        is_default=bool(event.is_default),
        is_deleted=address is None,
        created_at=known.created_at if known else uow.now,
        updated_at=uow.now,
    )
    return None


@adoptions.rule
def adopt_erased(event: UserErased, uow: UserUnitOfWork) -> str | None:
    """The user was erased after the backup, which still has the account."""
    uow.erase(event.user_id)
    return None
