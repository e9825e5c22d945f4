"""The payment service over HTTP."""

import asyncio
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import PathParameter, QueryParameter

from chassis.service import Service
from chassis.web.app import idempotency
from chassis.web.schemas import Body, OptionalKey, Page, Size, View, answered, refusals
from events.contract import FailReason, PaymentMethod, RequestAmount
from payment import store
from payment.domain import (
    BeginTopUp,
    ChargeWallet,
    EntryKind,
    GiveUpTopUp,
    OpenedWallet,
    OpenWallet,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
    Wallet,
    Wallets,
    no_wallet,
)
from payment.settings import has_gateway
from saga.errors import ExternalSystemFailed, NotFound

CustomerId = Annotated[UUID, PathParameter(name="customerId")]
PaymentId = Annotated[UUID, PathParameter(name="paymentId")]

GATEWAY_PATIENCE_SECONDS = 10
"""How long a client waits for the gateway. Then the charge is given up, and takes no effect."""


class PaymentStatus(StrEnum):
    """What a client sees of a payment's state: it never goes backwards."""

    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    REFUNDED = "REFUNDED"


_STATUS = {
    PaymentState.INTENT: PaymentStatus.PENDING,
    PaymentState.CAPTURED: PaymentStatus.COMPLETED,
    PaymentState.FAILED: PaymentStatus.FAILED,
    PaymentState.REFUNDING: PaymentStatus.COMPLETED,
    PaymentState.REFUNDED: PaymentStatus.REFUNDED,
}


class NewWallet(Body):
    customer_id: UUID


class Charge(Body):
    amount: RequestAmount


class WalletView(View):
    """`balance` in won."""

    customer_id: str
    balance: int


class EntryView(View):
    """`delta` in won: positive came in, negative went out."""

    kind: EntryKind
    delta: int
    balance_after: int
    order_id: str | None
    created_at: datetime


class EntryPage(View):
    items: list[EntryView]
    page: int
    size: int
    total: int


class PaymentView(View):
    payment_id: str
    order_id: str
    customer_id: str
    method: PaymentMethod
    amount: int
    status: PaymentStatus
    fail_reason: FailReason | None
    created_at: datetime
    updated_at: datetime


class Payments(View):
    items: list[PaymentView]


class WalletController(Controller):
    path = "/wallets"
    tags = ("wallets",)

    @post(
        summary="Open a wallet",
        responses=refusals(body=True)
        | {200: answered(WalletView, "There was one; it is the same")},
    )
    async def open(self, data: NewWallet, service: Service[Wallets]) -> Response[WalletView]:
        """201 for a new wallet; 200 with the one there is, unchanged, for a second call."""
        command = OpenWallet(customer_id=str(data.customer_id))
        opened: OpenedWallet = (await service.ask(command)).result
        headers = {"Location": f"/api/v1/wallets/{data.customer_id}"}
        status = 201 if opened.new else 200
        return Response(WalletView.of(opened.wallet), status_code=status, headers=headers)

    @get("/{customerId:str}", summary="A customer's balance", responses=refusals(404))
    async def read(self, customer_id: CustomerId, service: Service[Wallets]) -> WalletView:
        return WalletView.of(await _find(service, customer_id))

    @post(
        "/{customerId:str}/charge",
        status_code=200,
        summary="Put money in",
        responses=refusals(404, 409, 422, 502, body=True),
    )
    async def charge(
        self,
        customer_id: CustomerId,
        data: Charge,
        service: Service[Wallets],
        idempotency_key: OptionalKey = None,
    ) -> Response[WalletView]:
        """The payment gateway is asked for the money first, where one is connected.

        502 when it refuses or does not answer within 10 s: then the balance is unchanged, and what
        it may still take goes back. With an Idempotency-Key, the same request again gives the first
        answer; one that has failed needs a new key.
        """
        key = idempotency(f"charge/{customer_id}", idempotency_key, data)
        if not has_gateway(service.settings):
            at_once = ChargeWallet(customer_id=str(customer_id), amount=data.amount)
            done = await service.ask(at_once, key)
            wallet = WalletView.of(done.result)
        else:
            begin = BeginTopUp(
                top_up_id=service.new_id(), customer_id=str(customer_id), amount=data.amount
            )
            done = await service.ask(begin, key)
            wallet = await _topped_up(service, done.result)
        headers = {"Idempotency-Replayed": "true"} if done.replayed else {}
        return Response(wallet, headers=headers)

    @get(
        "/{customerId:str}/transactions",
        summary="A wallet's ledger, newest first",
        responses=refusals(404),
    )
    async def transactions(
        self, customer_id: CustomerId, service: Service[Wallets], page: Page = 0, size: Size = 20
    ) -> EntryPage:
        await _find(service, customer_id)
        async with service.reading() as connection:
            found, total = await store.entries(
                connection, str(customer_id), offset=page * size, size=size
            )
        items = [EntryView.of(each) for each in found]
        return EntryPage(items=items, page=page, size=size, total=total)


class PaymentController(Controller):
    path = "/payments"
    tags = ("payments",)

    @get(summary="The payments of an order", responses=refusals())
    async def list_of_order(
        self, service: Service[Wallets], order_id: Annotated[UUID, QueryParameter(name="orderId")]
    ) -> Payments:
        async with service.reading() as connection:
            found = await store.payments_of(connection, str(order_id))
        return Payments(items=[_payment(each) for each in found])

    @get("/{paymentId:str}", summary="One payment", responses=refusals(404))
    async def read(self, payment_id: PaymentId, service: Service[Wallets]) -> PaymentView:
        async with service.reading() as connection:
            payment = await store.find_payment(connection, str(payment_id))
        if payment is None:
            raise NotFound(f"there is no payment {payment_id}", code="PAYMENT_NOT_FOUND")
        return _payment(payment)


async def _find(service: Service[Wallets], customer_id: UUID) -> Wallet:
    async with service.reading() as connection:
        wallet = await store.find_wallet(connection, str(customer_id))
    if wallet is None:
        raise no_wallet(str(customer_id))
    return wallet


async def _topped_up(service: Service[Wallets], begun: TopUp) -> WalletView:
    """The wallet as it was once this top-up was booked. Raises ExternalSystemFailed."""
    async with service.reading() as connection:
        top_up = await store.find_top_up(connection, begun.top_up_id) or begun
    if top_up.state is TopUpState.INTENT:
        await _wait_for_gateway(service, top_up)
        given_up = GiveUpTopUp(top_up_id=top_up.top_up_id)
        top_up = (await service.ask(given_up)).result  # one that was booked stays booked
    if top_up.state is not TopUpState.BOOKED:
        raise ExternalSystemFailed("the payment gateway did not take the money; nothing was booked")
    async with service.reading() as connection:
        balance = await store.balance_after(connection, top_up.top_up_id)
    return WalletView(customer_id=top_up.customer_id, balance=balance)


async def _wait_for_gateway(service: Service[Wallets], top_up: TopUp) -> None:
    """Until the gateway has decided, or the client has waited long enough."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GATEWAY_PATIENCE_SECONDS):
            await service.external_calls.join(top_up.call)


def _payment(payment: Payment) -> PaymentView:
    return PaymentView.of(payment, status=_STATUS[payment.state])


ROUTES = [WalletController, PaymentController]
