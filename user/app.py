"""Builds the user service: participant, passwords, keys and routes."""

from litestar import Litestar
from msgspec.structs import replace

from chassis.participant import Participant
from chassis.ports import REAL, Ports
from chassis.processing.timers import Timer
from chassis.service import Service
from chassis.web import app
from chassis.web.document import Vocabulary
from chassis.web.error_codes import codes_of
from chassis.web.keys import PublishedKeys
from events.contract import SigningKeyPublished
from events.descriptions import DESCRIPTIONS
from events.examples import EXAMPLES
from events.messages import FOLDER
from events.roles import AGENTS
from user import errors, keys, store, tables
from user.domain import UNSETTLED
from user.passwords import Passwords
from user.reactions import reactions
from user.routes import auth, users
from user.settings import Settings
from user.sign_ins import SignIns
from user.unit_of_work import UserUnitOfWork

participant: Participant[UserUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.users_table,
    unsettled=UNSETTLED,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    with_timer = replace(
        participant, timers=(Timer(keys.find_due(ports.new_id), keys.CHECK_SECONDS),)
    )
    service = Service(
        with_timer,
        settings,
        ports,
        components=(Passwords(), SignIns(), PublishedKeys(SigningKeyPublished)),
    )
    return app.build(
        service,
        [*users.ROUTES, *auth.ROUTES],
        title="user",
        description="Accounts: signing up, signing in, and the tokens that all services check.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
