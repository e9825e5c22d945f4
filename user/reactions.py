"""What the user service does for each command."""

from datetime import timedelta

import msgspec

from events.contract import (
    CONTRACT,
    KEYS,
    PERSONAL,
    AddressChanged,
    ShippingAddressesErased,
    SigningKeyPublished,
    UserErased,
    UserRegistered,
)
from saga.reactions import Reactions, Result
from user.addresses import MAX_ADDRESSES, SavedAddress, with_one_default
from user.adoption import adoptions
from user.commands import (
    AddAddress,
    AddKey,
    BeginSession,
    ChangeAddress,
    ChangePassword,
    DeleteAddress,
    EndErasure,
    EndSession,
    EraseUser,
    PurgeAgain,
    Refreshed,
    RefreshSession,
    RegisterUser,
    RenameUser,
    address_book_full,
    bad_credentials,
    no_address,
    no_default,
    no_user,
    user_exists,
)
from user.domain import (
    KEY_LEAD,
    SETTLE,
    Presented,
    Session,
    SessionState,
    SigningKey,
    User,
    UserState,
)
from user.unit_of_work import UserUnitOfWork

reactions = Reactions("user", CONTRACT, adoptions, follows={KEYS}, erases={PERSONAL})


@reactions.command
def register(command: RegisterUser, uow: UserUnitOfWork) -> Result[User, UserRegistered]:
    """Sign a user up, once for each address."""
    if command.email in uow.by_email or command.user_id in uow.users:
        raise user_exists()
    user = User(
        user_id=command.user_id,
        email=command.email,
        name=command.name,
        password_hash=command.password_hash,
        roles=command.roles,
        state=UserState.ACTIVE,
        created_at=uow.now,
        updated_at=uow.now,
    )
    uow.put(user)
    return Result(user, UserRegistered(user_id=user.user_id))


@reactions.command
def rename(command: RenameUser, uow: UserUnitOfWork) -> User:
    """Change the name that a user is called by."""
    user = uow.active(command.user_id)
    if user is None:
        raise no_user(command.user_id)
    changed = user.change(uow.now, name=command.name)
    uow.put(changed)
    return changed


@reactions.command
def begin_session(command: BeginSession, uow: UserUnitOfWork) -> User:
    """Sign a user in."""
    user = uow.active(command.user_id)
    if user is None or user.password_hash != command.password_hash:
        raise bad_credentials()  # the password was changed since it was checked
    uow.sessions[command.session_id] = Session(
        session_id=command.session_id,
        user_id=user.user_id,
        state=SessionState.ACTIVE,
        token_hash=command.token_hash,
        previous_hash=None,
        created_at=uow.now,
        updated_at=uow.now,
    )
    return user


@reactions.command
def refresh_session(command: RefreshSession, uow: UserUnitOfWork) -> Refreshed:
    """Replace the session's newest token; any older one ends the session, unless it is a race."""
    session = uow.sessions.get(command.session_id)
    if session is None or uow.active(session.user_id) is None:
        return Refreshed(presented=Presented.INVALID)
    presented = session.judge(command.presented_hash, uow.now)
    if presented is Presented.REUSED:
        uow.sessions[session.session_id] = session.end(uow.now)
    if presented is not Presented.NEWEST:
        return Refreshed(presented=presented, session=session)
    session = session.rotate(command.token_hash, uow.now)
    uow.sessions[session.session_id] = session
    return Refreshed(presented=presented, session=session, user=uow.users[session.user_id])


@reactions.command
def end_session(command: EndSession, uow: UserUnitOfWork) -> Session | None:
    """Sign out. A token that is not the session's ends nothing."""
    session = uow.sessions.get(command.session_id)
    if session is None or session.state is SessionState.ENDED:
        return None
    if command.presented_hash not in (session.token_hash, session.previous_hash):
        return None
    uow.sessions[session.session_id] = session.end(uow.now)
    return session


@reactions.command
def change_password(command: ChangePassword, uow: UserUnitOfWork) -> None:
    """Replace the password, and end the sessions that began with the old one."""
    user = uow.active(command.user_id)
    if user is None or user.password_hash != command.password_hash:
        raise bad_credentials()
    uow.put(user.change(uow.now, password_hash=command.new_hash))
    for session in uow.sessions_of(user.user_id):
        if session.session_id != command.kept_session_id:
            uow.sessions[session.session_id] = session.end(uow.now)


@reactions.command
def add_key(command: AddKey, uow: UserUnitOfWork) -> Result[SigningKey | None, SigningKeyPublished]:
    """Publish a key that takes over from the newest one; the first one signs at once."""
    lasts = timedelta(seconds=command.signs_seconds)
    newest = max(uow.keys.released, key=lambda key: key.signs_until, default=None)
    if newest is not None and newest.created_at > uow.now - lasts:
        return Result(None)  # another instance was first
    lead = min(KEY_LEAD, lasts)
    has_key = newest is not None and newest.signs(uow.now + lead)
    starts = uow.now + lead if has_key else uow.now
    key = SigningKey(
        key_id=command.key_id,
        private_key=command.private_key,
        public_key=command.public_key,
        created_at=uow.now,
        signs_from=starts,
        signs_until=starts + lasts + 2 * lead,
    )
    uow.keys[key.key_id] = key
    published = SigningKeyPublished(
        key_id=key.key_id, public_key=key.public_key, trusted_until=key.trusted_until
    )
    return Result(key, published)


# ---------------------------------------------------------------- the address book


@reactions.command
def add_address(command: AddAddress, uow: UserUnitOfWork) -> Result[SavedAddress, AddressChanged]:
    """Add an address. The first one is the default."""
    if uow.active(command.user_id) is None:
        raise no_user(command.user_id)
    if len(uow.book_of(command.user_id)) >= MAX_ADDRESSES:
        raise address_book_full()
    uow.addresses[command.address_id] = SavedAddress(
        address_id=command.address_id,
        user_id=command.user_id,
        version=0,
        label=command.label,
        street=command.street,
        postal_code=command.postal_code,
        city=command.city,
        is_default=False,
        created_at=uow.now,
        updated_at=uow.now,
    )
    return _changed(command, uow, {}, is_default=command.is_default)


@reactions.command
def change_address(
    command: ChangeAddress, uow: UserUnitOfWork
) -> Result[SavedAddress, AddressChanged]:
    """Change an address; orders that were placed with it keep the old one."""
    known = uow.address_of(command.user_id, command.address_id)
    if known is None or uow.active(command.user_id) is None:
        raise no_address(command.address_id)
    if command.is_default is False and known.is_default:
        raise no_default()
    names = ("label", "street", "postal_code", "city")
    changes = {name: value for name in names if (value := getattr(command, name)) is not None}
    return _changed(command, uow, changes, is_default=bool(command.is_default))


@reactions.command
def delete_address(command: DeleteAddress, uow: UserUnitOfWork) -> Result[None, AddressChanged]:
    """Delete an address."""
    if uow.address_of(command.user_id, command.address_id) is None:
        raise no_address(command.address_id)
    nothing = {"label": "", "street": "", "postal_code": "", "city": "", "is_deleted": True}
    done = _changed(command, uow, nothing, is_default=False)
    return Result(None, *done.events)


def _changed(
    command: AddAddress | ChangeAddress | DeleteAddress,
    uow: UserUnitOfWork,
    changes: dict[str, object],
    *,
    is_default: bool,
) -> Result[SavedAddress, AddressChanged]:
    """The address as it is then, with the events of all that change: one is the default."""
    address_id = command.address_id
    before = uow.addresses[address_id]
    uow.addresses[address_id] = before.change(uow.now, **changes)
    book = uow.book_of(command.user_id)
    changed = {address_id}
    for each in with_one_default(book, address_id if is_default else None, uow.now):
        one_version = msgspec.structs.replace(each, version=before.version + 1)
        uow.addresses[each.address_id] = one_version if each.address_id == address_id else each
        changed.add(each.address_id)
    events = (uow.addresses[each].changed for each in sorted(changed))
    return Result(uow.addresses[address_id], *events)


# ---------------------------------------------------------------- erasure


@reactions.command
def erase_user(command: EraseUser, uow: UserUnitOfWork) -> Result[None, UserErased]:
    """Erase the account, and ask all who hold personal data of the user to erase it."""
    user = uow.users.get(command.user_id)
    if user is None and not command.may_be_unknown:
        raise no_user(command.user_id)
    if user is None or user.is_active:
        uow.erase(command.user_id)
        return Result(None, UserErased(user_id=command.user_id))
    if user.state is UserState.ERASED:
        uow.purge(user)
    return Result(None)


@reactions.on
def purge_person(event: ShippingAddressesErased, uow: UserUnitOfWork) -> None:
    """All copies are erased: nothing personal is published any more, so purge the broker."""
    user = uow.users.get(event.user_id)
    if user is not None and user.state is UserState.ERASING:
        uow.purge(user)


@reactions.command
def purge_again(command: PurgeAgain, uow: UserUnitOfWork) -> None:
    """Purge the broker once more, of what was on its way to it at the first time."""
    user = uow.users.get(command.user_id)
    if user is not None and user.state is UserState.PURGING:
        uow.purge(user)


@reactions.command
def end_erasure(command: EndErasure, uow: UserUnitOfWork) -> None:
    """The broker was purged. The erasure is done if nothing can come after it."""
    user = uow.users.get(command.user_id)
    if user is not None and user.state is UserState.PURGING and uow.now - user.updated_at >= SETTLE:
        uow.put(user.change(uow.now, state=UserState.ERASED))
