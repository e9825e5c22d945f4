"""The scenarios with a user, who signs up or is erased while an order is under way."""

from collections.abc import Iterator, Mapping
from uuid import UUID

import msgspec

from events.contract import Address, OnShortage, PaymentMethod, ShippingAddressGiven, UserRegistered
from order.addresses import Recipient, ShippingAddress
from payment.commands import ChargeWallet, OpenWallet
from tests.correctness.model.description import NOW, Local, Locals, Move, short, table
from tests.correctness.model.shop.rows import SERVICES
from tests.correctness.model.shop.scenarios import CUSTOMER, ORDERS, PRICE, ShopScenario
from user.addresses import SavedAddress
from user.commands import ChangeAddress, EraseUser, PurgeAgain, RegisterUser
from user.domain import User, UserState

ADDRESS = str(UUID(int=14))
PRIVATE = "Gildong"
"""It stands in all personal data of the model, and nowhere else."""

HOME = Address(street=f"{PRIVATE}'s Road", postal_code=PRIVATE, city=PRIVATE)
NAME = f"user {short(CUSTOMER)}"
OPENINGS, CHARGES, MOVES, ERASURES = "openings", "charges", "moves", "erasures"


class SigningUp(ShopScenario, frozen=True, kw_only=True):
    """An order of a customer who signs up meanwhile, opens the wallet too, and charges it."""

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {OPENINGS: 1, CHARGES: 1}

    def beginning(self) -> Locals:
        return {**super().beginning(), "payment": Local(((), ()), (), self.inbox)}

    def commands(self, service: str, local: Local, left: Mapping[str, int]) -> Iterator[Move]:
        yield from super().commands(service, local, left)
        if service == "user" and not SERVICES["user"].sagas(local):
            sign_up = RegisterUser(
                user_id=CUSTOMER, email=PRIVATE, name=PRIVATE, password_hash=PRIVATE, roles=""
            )
            yield Move(f"{NAME} signs up", sign_up)
        if service == "payment" and left[OPENINGS]:
            yield Move(f"{NAME} opens a wallet", OpenWallet(customer_id=CUSTOMER), OPENINGS)
        if service == "payment" and left[CHARGES] and SERVICES["payment"].rows(local, "wallets"):
            charge = ChargeWallet(customer_id=CUSTOMER, amount=PRICE)
            yield Move(f"{NAME} charges the wallet", charge, CHARGES)


class Leaving(ShopScenario, frozen=True, kw_only=True):
    """An order with an address, whose customer is erased so often, and changes it so often.

    What the user service has published of the customer is under way at the beginning.
    """

    erasures: int = 1
    moves: int = 0

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {ERASURES: self.erasures, MOVES: self.moves}

    def beginning(self) -> Locals:
        locals_ = super().beginning()
        order, address = locals_["order"], _address()
        given = ShippingAddressGiven(customer_id=CUSTOMER, order_id=ORDERS[0], address=HOME)
        snapshot = ShippingAddress.of(ORDERS[0], CUSTOMER, HOME)
        tables = (
            order.tables[0],
            table({CUSTOMER: Recipient(customer_id=CUSTOMER, created_at=NOW)}),
            (),
            table({ORDERS[0]: snapshot}),
        )
        return {
            **locals_,
            "order": msgspec.structs.replace(order, tables=tables, outbox=(*order.outbox, given)),
            "user": Local(
                (table({CUSTOMER: _user()}), table({ADDRESS: address})),
                (),
                self.inbox,
                (UserRegistered(user_id=CUSTOMER), address.changed),
            ),
        }

    def commands(self, service: str, local: Local, left: Mapping[str, int]) -> Iterator[Move]:
        yield from super().commands(service, local, left)
        if service != "user":
            return
        user = SERVICES["user"].sagas(local)[CUSTOMER]
        if left[ERASURES]:
            yield Move(f"{NAME} is erased", EraseUser(user_id=CUSTOMER), ERASURES)
        if left[MOVES] and user.is_active:
            move = ChangeAddress(user_id=CUSTOMER, address_id=ADDRESS, city=f"{PRIVATE} City")
            yield Move(f"{NAME} changes the address", move, MOVES)
        if user.state is UserState.PURGING:
            yield Move(f"{NAME}'s purge begins again", PurgeAgain(user_id=CUSTOMER))


def _user() -> User:
    return User(
        user_id=CUSTOMER,
        email=PRIVATE,
        name=PRIVATE,
        password_hash=PRIVATE,
        roles="",
        state=UserState.ACTIVE,
        created_at=NOW,
        updated_at=NOW,
    )


def _address() -> SavedAddress:
    return SavedAddress(
        address_id=ADDRESS,
        user_id=CUSTOMER,
        version=1,
        label=PRIVATE,
        street=HOME.street,
        postal_code=HOME.postal_code,
        city=HOME.city,
        is_default=True,
        created_at=NOW,
        updated_at=NOW,
    )


SMALL_WITH_USERS = (
    SigningUp(name="a user signs up", cancels=0, may_expire=False, retransmits=False),
    SigningUp(
        name="a user signs up, without inbox", with_inbox=False, cancels=0, retransmits=False
    ),
    Leaving(name="a user is erased", duplicates=0, retransmits=False),
    Leaving(
        name="a user is erased, delivered twice", cancels=0, may_expire=False, retransmits=False
    ),
    Leaving(
        name="a user is erased twice, without inbox",
        with_inbox=False,
        erasures=2,
        moves=1,
        cancels=0,
        may_expire=False,
        retransmits=False,
    ),
    Leaving(
        name="a user is erased, and a loss",
        losses=1,
        duplicates=0,
        cancels=0,
        may_expire=False,
        retransmits=False,
    ),
    *(
        Leaving(
            name=f"{service} is restored, a user is erased",
            restored=service,
            duplicates=0,
            cancels=0,
            may_expire=False,
            retransmits=False,
        )
        for service in ("order", "user")
    ),
)
FULL_WITH_USERS = (
    *SMALL_WITH_USERS,
    Leaving(name="a user is erased, retransmitted", cancels=0, may_expire=False),
    Leaving(name="a user is erased twice, delivered twice", erasures=2, moves=1, retransmits=False),
    Leaving(
        name="a user who waits for stock is erased",
        stock=0,
        on_shortage=OnShortage.WAIT,
        arrivals=1,
        retransmits=False,
    ),
    Leaving(
        name="a user with a card is erased",
        method=PaymentMethod.CARD,
        refusals=1,
        duplicates=0,
        retransmits=False,
    ),
)
