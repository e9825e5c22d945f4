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
from user.erasure import Purging
from user.passwords import Passwords
from user.reactions import reactions
from user.routes import addresses, auth, users
from user.settings import Settings
from user.sign_ins import SignIns
from user.unit_of_work import UserUnitOfWork

PURGE_SECONDS = 5

participant: Participant[UserUnitOfWork] = Participant(
    reactions=reactions,
    load=store.load,
    save=store.save,
    schema=tables.schema,
    saga_rows=tables.users_table,
    unsettled=UNSETTLED,
    timers=(Timer(store.find_settled_purges, PURGE_SECONDS),),
    upgrades=tables.UPGRADES,
)


def create_app(settings: Settings, ports: Ports = REAL) -> Litestar:
    adding_keys = Timer(keys.find_due(ports.new_id), keys.CHECK_SECONDS)
    with_timer = replace(participant, timers=(adding_keys, *participant.timers))
    purging = Purging()
    service = Service(
        with_timer,
        settings,
        ports,
        ports.external_system or purging,
        components=(purging, Passwords(), SignIns(), PublishedKeys(SigningKeyPublished)),
    )
    return app.build(
        service,
        [*users.ROUTES, *addresses.ROUTES, *auth.ROUTES],
        title="user",
        description="Accounts, address books, and the tokens that all services check.",
        vocabulary=Vocabulary(EXAMPLES, DESCRIPTIONS, codes_of(errors)),
        agents=AGENTS,
        messages=[FOLDER],
    )
