"""What the user service does for each command."""

from datetime import timedelta

from events.contract import CONTRACT, KEYS, SigningKeyPublished, UserRegistered
from saga.reactions import Reactions, Result
from user.adoption import adoptions
from user.commands import (
    AddKey,
    BeginSession,
    ChangePassword,
    EndSession,
    Refreshed,
    RefreshSession,
    RegisterUser,
    RenameUser,
    bad_credentials,
    no_user,
    user_exists,
)
from user.domain import KEY_LEAD, Presented, Session, SessionState, SigningKey, User, UserState
from user.unit_of_work import UserUnitOfWork

reactions = Reactions("user", CONTRACT, adoptions, follows={KEYS})


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
    user = uow.users.get(command.user_id)
    if user is None:
        raise no_user(command.user_id)
    changed = user.change(uow.now, name=command.name)
    uow.put(changed)
    return changed


@reactions.command
def begin_session(command: BeginSession, uow: UserUnitOfWork) -> User:
    """Sign a user in."""
    user = uow.users.get(command.user_id)
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
    if session is None:
        return Refreshed(presented=Presented.INVALID)
    presented = session.judge(command.presented_hash, uow.now)
    if presented is Presented.REUSED:
        uow.sessions[session.session_id] = session.end(uow.now)
    if presented is not Presented.NEWEST:
        return Refreshed(presented=presented)
    session = session.rotate(command.token_hash, uow.now)
    uow.sessions[session.session_id] = session
    return Refreshed(presented=presented, session=session, user=uow.users[session.user_id])


@reactions.command
def end_session(command: EndSession, uow: UserUnitOfWork) -> None:
    """Sign out. A token that is not the session's ends nothing."""
    session = uow.sessions.get(command.session_id)
    if session is not None and command.presented_hash in (
        session.token_hash,
        session.previous_hash,
    ):
        uow.sessions[session.session_id] = session.end(uow.now)


@reactions.command
def change_password(command: ChangePassword, uow: UserUnitOfWork) -> None:
    """Replace the password, and end the sessions that began with the old one."""
    user = uow.users.get(command.user_id)
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
