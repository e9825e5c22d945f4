"""How the user service adopts what it had published before its database was restored."""

from events.contract import CONTRACT, SigningKeyPublished, UserRegistered
from saga.adoption import Adoptions
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
