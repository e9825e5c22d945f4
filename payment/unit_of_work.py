"""The rows that a batch of the payment service works on, and how money moves between them. Pure."""

from datetime import datetime, timedelta

import msgspec

from events.contract import FailReason, OrderTimedOut, StockDecremented
from payment.commands import no_top_up, no_wallet
from payment.domain import (
    Entry,
    EntryKind,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
    Wallet,
    payment_id,
)
from payment.external_calls import EXTERNAL_CALL_SECONDS, payment_call, top_up_call
from saga.due import is_due
from saga.unit_of_work import Ledger, Rows, UnitOfWork


class PaymentUnitOfWork(UnitOfWork):
    """A balance changes in `book` and nowhere else. `orphaned_captures` raise an alarm."""

    def __init__(
        self,
        now: datetime,
        wallets: Rows[str, Wallet],
        payments: Rows[str, Payment],
        top_ups: Rows[str, TopUp],
        ledger: Ledger[Entry],
    ) -> None:
        self.orphaned_captures: Ledger[Payment] = Ledger()
        super().__init__(now, wallets, payments, top_ups, ledger, self.orphaned_captures)
        self.wallets = wallets
        self.payments = payments
        self.top_ups = top_ups
        self.ledger = ledger

    # ------------------------------------------------------------ wallets

    def get_wallet(self, customer_id: str) -> Wallet:
        """Raises NotFound."""
        wallet = self.wallets.get(customer_id)
        if wallet is None:
            raise no_wallet(customer_id)
        return wallet

    def open_wallet(self, customer_id: str, balance: int = 0) -> Wallet:
        """Add a wallet, with its opening balance in the ledger."""
        wallet = Wallet(
            customer_id=customer_id, balance=0, created_at=self.now, updated_at=self.now
        )
        self.wallets[customer_id] = wallet
        return self.book(wallet, EntryKind.OPENING, balance) if balance else wallet

    def book(
        self,
        wallet: Wallet,
        kind: EntryKind,
        delta: int,
        *,
        order_id: str | None = None,
        top_up_id: str | None = None,
        is_adopted: bool = False,
    ) -> Wallet:
        """Change a balance together with its ledger. Raises Conflict outside 0 to the limit.

        What is adopted was booked already, whatever the restored balance is.
        """
        if not is_adopted:
            wallet.check(delta)
        balance = wallet.balance + delta
        booked = msgspec.structs.replace(wallet, balance=balance, updated_at=self.now)
        self.wallets[wallet.customer_id] = booked
        self.ledger.add(
            Entry(
                customer_id=wallet.customer_id,
                kind=kind,
                delta=delta,
                balance_after=balance,
                order_id=order_id,
                top_up_id=top_up_id,
                created_at=self.now,
            )
        )
        return booked

    # ------------------------------------------------------------ payments

    def record(
        self,
        event: StockDecremented | OrderTimedOut,
        state: PaymentState,
        fail_reason: FailReason | None = None,
    ) -> Payment:
        """Add an order's payment. An order that timed out before it was payable owes nothing."""
        payable, discount = 0, 0
        if isinstance(event, StockDecremented):
            payable, discount = event.payable_amount, event.discount_amount
        payment = Payment(
            order_id=event.order_id,
            payment_id=payment_id(event.order_id),
            customer_id=event.customer_id,
            method=event.payment_method,
            amount=payable,
            discount_amount=discount,
            state=state,
            fail_reason=fail_reason,
            attempt=0,
            voiding=False,
            stray=None,
            created_at=self.now,
            updated_at=self.now,
            retry_at=None,
            paid_at=self.now if state is PaymentState.CAPTURED else None,
        )
        self.payments[event.order_id] = payment
        return payment

    def move(self, payment: Payment, **changes: object) -> Payment:
        """Move a payment on, and begin the external call that it needs then."""
        moved = payment.change(self.now, retry_at=None, **changes)
        self.payments[payment.order_id] = moved
        return self.begin_call(moved)

    def begin_call(self, payment: Payment) -> Payment:
        """Begin the payment's external call, if it needs one. Also used to begin it again."""
        if call := payment_call(payment):
            self.external_calls.add(call)
            payment = msgspec.structs.replace(payment, retry_at=self._retry_at)
            self.payments[payment.order_id] = payment
        return payment

    # ------------------------------------------------------------ top-ups

    def get_top_up(self, top_up_id: str) -> TopUp:
        """Raises NotFound."""
        top_up = self.top_ups.get(top_up_id)
        if top_up is None:
            raise no_top_up(top_up_id)
        return top_up

    def move_top_up(self, top_up: TopUp, state: TopUpState) -> TopUp:
        """Move a top-up on, and begin the external call that it needs then."""
        return self.begin_top_up_call(top_up.move_to(state, self.now))

    def begin_top_up_call(self, top_up: TopUp) -> TopUp:
        """Store a top-up, and begin its external call, if it needs one. Also to begin it again."""
        if call := top_up_call(top_up):
            self.external_calls.add(call)
            top_up = msgspec.structs.replace(top_up, retry_at=self._retry_at)
        self.top_ups[top_up.top_up_id] = top_up
        return top_up

    def end_void(self, top_up: TopUp) -> TopUp:
        """The gateway has voided the top-up's key: no call is due any more."""
        voided = self.top_ups[top_up.top_up_id] = top_up.move_to(TopUpState.VOIDING, self.now)
        return voided

    def is_call_due(self, retry_at: datetime | None) -> bool:
        return retry_at is not None and is_due(retry_at, self.now, EXTERNAL_CALL_SECONDS)

    @property
    def _retry_at(self) -> datetime:
        return self.now + timedelta(seconds=EXTERNAL_CALL_SECONDS)
