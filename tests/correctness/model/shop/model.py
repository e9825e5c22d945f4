"""The shop's model: what the checker walks, and what must hold."""

from events.contract import PERSONAL, SAGA, USERS
from tests.correctness.model.description import Local, Locals, Violations
from tests.correctness.model.shop import invariants
from tests.correctness.model.shop.gateway import Gateway
from tests.correctness.model.shop.rows import SERVICES
from tests.correctness.model.shop.scenarios import FULL, SMALL
from tests.correctness.model.shop.users import FULL_WITH_USERS, SMALL_WITH_USERS


class Shop:
    saga = "order"
    streams = (SAGA, USERS, PERSONAL)
    services = SERVICES
    small = (*SMALL, *SMALL_WITH_USERS)
    full = (*FULL, *FULL_WITH_USERS)

    def wrong_step(self, service: str, before: Local, after: Local) -> Violations:
        return invariants.wrong_step(service, before, after)

    def wrong_local(self, service: str, local: Local) -> Violations:
        return invariants.wrong_local(service, local)

    def wrong_at_rest(self, locals_: Locals, world: Gateway) -> Violations:
        return invariants.wrong_at_rest(locals_, world)


MODEL = Shop()
