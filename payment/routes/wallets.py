"""HTTP routes of wallets, and of the money that comes into them."""

import asyncio
from contextlib import suppress
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.params import JSONBody, PathParameter

from chassis.service import Service
from chassis.web.access import SIGNED_IN, Caller, CurrentCaller
from chassis.web.actions import records_for_others
from chassis.web.dependencies import Page, Paging, shown_as
from chassis.web.idempotency import key_of, replay_headers
from chassis.web.schemas import Body, OptionalKey, View, answered, created, refusals
from events.contract import RequestAmount
from payment import store
from payment.commands import (
    BeginTopUp,
    ChargeWallet,
    GiveUpTopUp,
    OpenedWallet,
    OpenWallet,
    no_wallet,
    not_booked,
)
from payment.domain import EntryKind, TopUp, TopUpState, Wallet
from payment.errors import BALANCE_OUT_OF_RANGE, PAYMENT_GATEWAY_FAILED, WALLET_NOT_FOUND
from payment.external_calls import top_up_call
from payment.routes import PaymentService
from payment.settings import has_gateway
from payment.unit_of_work import PaymentUnitOfWork
from saga.ids import derived

CustomerId = Annotated[UUID, PathParameter(name="customerId")]

GATEWAY_TIMEOUT_SECONDS = 10
"""How long a client waits for the gateway. Then the charge is given up and voided."""


class NewWallet(Body):
    """The customer who gets a wallet."""

    customer_id: UUID


class Charge(Body):
    """Money that comes into a wallet."""

    amount: RequestAmount


class WalletView(View):
    """`balance` in KRW."""

    customer_id: str
    balance: int


class EntryView(View):
    """`delta` in KRW: positive came in, negative went out."""

    kind: EntryKind
    delta: int
    balance_after: int
    order_id: str | None
    created_at: datetime


EntryPage = Annotated[Page[EntryView], shown_as("EntryPage")]


class WalletController(Controller):
    path = "/wallets"
    tags = ("wallets",)

    @post(
        summary="Open a wallet",
        guards=[SIGNED_IN],
        opt=records_for_others("WALLET_OPEN", on="customerId"),
        responses=refusals(body=True)
        | {200: answered(WalletView, "The customer had a wallet; it is unchanged")},
    )
    async def open_wallet(
        self, data: JSONBody[NewWallet], service: PaymentService, caller: CurrentCaller
    ) -> Response[WalletView]:
        """201 for a new wallet; 200 with the existing one, unchanged."""
        caller.check(str(data.customer_id))
        command = OpenWallet(customer_id=str(data.customer_id))
        opened: OpenedWallet = (await service.ask(command)).result
        view = WalletView.of(opened.wallet)
        return created(view, f"/wallets/{data.customer_id}", is_new=opened.new)

    @get(
        "/{customerId:str}",
        summary="A customer's balance",
        guards=[SIGNED_IN],
        responses=refusals(WALLET_NOT_FOUND),
    )
    async def get_wallet(
        self, customer_id: CustomerId, service: PaymentService, caller: CurrentCaller
    ) -> WalletView:
        """The balance after all orders that are paid or refunded by now."""
        return WalletView.of(await _find(service, caller, customer_id))

    @post(
        "/{customerId:str}/charge",
        status_code=200,
        summary="Bring money in",
        guards=[SIGNED_IN],
        opt=records_for_others("WALLET_CHARGE", on="customerId"),
        responses=refusals(
            WALLET_NOT_FOUND, BALANCE_OUT_OF_RANGE, 422, PAYMENT_GATEWAY_FAILED, body=True
        ),
    )
    async def charge_wallet(
        self,
        customer_id: CustomerId,
        data: JSONBody[Charge],
        service: PaymentService,
        caller: CurrentCaller,
        idempotency_key: OptionalKey = None,
    ) -> Response[WalletView]:
        """Where a payment gateway is connected, it is charged first.

        502 when it declines, does not answer within 10 s, or captures money that is refunded:
        `details.outcome` is DECLINED, NO_ANSWER or REFUNDED, `details.failDetail` the gateway's
        reason, and the balance is unchanged. With an Idempotency-Key, the same request again gives
        the first answer; a failed charge needs a new key.
        """
        _check(caller, customer_id)
        key = key_of(f"charge/{customer_id}", idempotency_key, data)
        if not has_gateway(service.settings):
            charge = ChargeWallet(customer_id=str(customer_id), amount=data.amount)
            done = await service.ask(charge, key)
            wallet = WalletView.of(done.result)
        else:
            # With a key it follows from the key, so that the gateway knows the charge again even
            # if this database forgets it.
            top_up_id = derived(str(customer_id), f"{key.scope}/{key.key}") if key else None
            begin = BeginTopUp(
                top_up_id=top_up_id or service.new_id(),
                customer_id=str(customer_id),
                amount=data.amount,
            )
            done = await service.ask(begin, key)
            wallet = await _finish(service, done.result)
        return Response(wallet, headers=replay_headers(done))

    @get(
        "/{customerId:str}/transactions",
        summary="A wallet's ledger, newest first",
        guards=[SIGNED_IN],
        responses=refusals(WALLET_NOT_FOUND),
    )
    async def list_wallet_transactions(
        self,
        customer_id: CustomerId,
        service: PaymentService,
        caller: CurrentCaller,
        paging: Paging,
    ) -> EntryPage:
        """A row for each amount that came in or went out."""
        await _find(service, caller, customer_id)
        async with service.reading() as connection:
            found, total = await store.entries(
                connection, str(customer_id), offset=paging.offset, size=paging.size
            )
        items = [EntryView.of(each) for each in found]
        return paging.of(items, total)


def _check(caller: Caller, customer_id: UUID) -> None:
    """Raises NotFound for another customer's wallet, whether there is one or not."""
    caller.find(str(customer_id), lambda: no_wallet(str(customer_id)))


async def _find(service: Service[PaymentUnitOfWork], caller: Caller, customer_id: UUID) -> Wallet:
    _check(caller, customer_id)
    async with service.reading() as connection:
        wallet = await store.find_wallet(connection, str(customer_id))
    if wallet is None:
        raise no_wallet(str(customer_id))
    return wallet


async def _finish(service: Service[PaymentUnitOfWork], begun: TopUp) -> WalletView:
    """Wait for a top-up's end. Returns the wallet right after it was booked.

    Raises ExternalSystemFailed when it was not booked.
    """
    async with service.reading() as connection:
        top_up = await store.find_top_up(connection, begun.top_up_id) or begun
    if top_up.state is TopUpState.INTENT:
        await _wait_for_gateway(service, top_up)
        given_up = GiveUpTopUp(top_up_id=top_up.top_up_id)
        top_up = (await service.ask(given_up)).result  # a booked one stays booked
    if top_up.state is not TopUpState.BOOKED:
        raise not_booked(top_up)
    async with service.reading() as connection:
        balance = await store.balance_after(connection, top_up.top_up_id)
    return WalletView(customer_id=top_up.customer_id, balance=balance)


async def _wait_for_gateway(service: Service[PaymentUnitOfWork], top_up: TopUp) -> None:
    """Wait until the gateway has decided, or the client's time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(GATEWAY_TIMEOUT_SECONDS):
            await service.external_calls.join(top_up_call(top_up))


ROUTES = [WalletController]
