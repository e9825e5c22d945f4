"""What the payment service does when it handles an event or executes a command."""

from events.contract import (
    CONTRACT,
    KEYS,
    FailReason,
    OrderCancelRequested,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefunded,
    PaymentRefundFailed,
    StockDecremented,
    UserRegistered,
)
from payment.adoption import adoptions
from payment.commands import (
    BeginTopUp,
    BookCharge,
    ChargeWallet,
    GiveUpTopUp,
    OpenedWallet,
    OpenWallet,
    ResumePayment,
    ResumeTopUp,
    SeedWallet,
    SettlePayment,
    SettleTopUp,
)
from payment.domain import (
    Decision,
    EntryKind,
    GatewayOutcome,
    OrphanedCapture,
    Payment,
    PaymentState,
    TopUp,
    TopUpState,
    Wallet,
)
from payment.unit_of_work import PaymentUnitOfWork
from saga.envelope import id_of
from saga.reactions import Reactions, Result

reactions = Reactions("payment", CONTRACT, adoptions, follows={KEYS})


# ---------------------------------------------------------------- payments


@reactions.on
def pay(event: StockDecremented, uow: PaymentUnitOfWork) -> PaymentCompleted | PaymentFailed | None:
    """Take the money from the customer's wallet, or refuse.

    A payment by card is only intended here: the gateway decides it.
    """
    if event.order_id in uow.payments:
        return None
    if event.payment_method is PaymentMethod.CARD and event.payable_amount > 0:
        uow.begin_call(uow.record(event, PaymentState.INTENT))
        return None
    reason = _take_from_wallet(event, uow)
    if reason is not None:
        return _payment_failed(uow.record(event, PaymentState.FAILED, reason))
    return _payment_completed(uow.record(event, PaymentState.CAPTURED))


def _take_from_wallet(event: StockDecremented, uow: PaymentUnitOfWork) -> FailReason | None:
    if event.payment_method is PaymentMethod.CARD:
        return None  # there is nothing to pay
    wallet = uow.wallets.get(event.customer_id)
    if wallet is None:
        return FailReason.WALLET_NOT_FOUND
    if not wallet.fits(-event.payable_amount):
        return FailReason.INSUFFICIENT_BALANCE
    if event.payable_amount > 0:
        uow.book(wallet, EntryKind.PAYMENT, -event.payable_amount, order_id=event.order_id)
    return None


@reactions.on
def decide(event: OrderTimedOut, uow: PaymentUnitOfWork) -> PaymentCompleted | PaymentFailed | None:
    """The order's time is over: fail a payment that is not decided yet.

    An earlier decision stands; its event was emitted. A charge in flight at the gateway is voided:
    only the gateway knows whether the charge or the void came first.
    """
    payment = uow.payments.get(event.order_id)
    if payment is None:
        reason = FailReason.ORDER_TIMED_OUT
        return _payment_failed(uow.record(event, PaymentState.FAILED, reason))
    if payment.state is PaymentState.INTENT and not payment.voiding:
        uow.move(payment, voiding=True)
    return None


@reactions.on
def refund(
    event: OrderCancelRequested, uow: PaymentUnitOfWork
) -> PaymentRefunded | PaymentRefundFailed | None:
    """The customer cancels: refund the money, once."""
    payment = uow.payments.get(event.order_id)
    if payment is None or payment.state is not PaymentState.CAPTURED:
        return None
    if event.attempt <= payment.attempt:
        return None
    payment = payment.change(uow.now, attempt=event.attempt)
    if payment.method is PaymentMethod.CARD and payment.amount > 0:
        uow.move(payment, state=PaymentState.REFUNDING)
        return None
    if not _return_to_wallet(payment, uow):
        uow.move(payment)
        return _payment_refund_failed(payment)
    refunded = uow.move(payment, state=PaymentState.REFUNDED, refunded_at=uow.now)
    return _payment_refunded(refunded)


def _return_to_wallet(payment: Payment, uow: PaymentUnitOfWork) -> bool:
    """False when there is no wallet, or the amount does not fit into it."""
    if payment.amount == 0:
        return True
    wallet = uow.wallets.get(payment.customer_id)
    if wallet is None or not wallet.fits(payment.amount):
        return False
    uow.book(wallet, EntryKind.REFUND, payment.amount, order_id=payment.order_id)
    return True


@reactions.command
def settle_payment(
    command: SettlePayment, uow: PaymentUnitOfWork
) -> Result[
    Payment | None, PaymentCompleted | PaymentFailed | PaymentRefunded | PaymentRefundFailed
]:
    """Act on the gateway's decision about a payment by card. Idempotent."""
    payment = uow.payments.get(command.order_id)
    if payment is None:
        return Result(None)
    match payment.state:
        case PaymentState.INTENT:
            return _settle_charge(payment, command.decision, uow)
        case PaymentState.REFUNDING if command.attempt == payment.attempt:
            return _settle_refund(payment, command.decision, uow)
        case PaymentState.FAILED:
            return Result(_return_orphaned_capture(payment, command.decision, uow))
    return Result(payment)


def _settle_charge(
    payment: Payment, decision: Decision, uow: PaymentUnitOfWork
) -> Result[Payment, PaymentCompleted | PaymentFailed]:
    transaction_id = decision.transaction_id
    match decision.outcome:
        case GatewayOutcome.CAPTURED:
            payment = uow.move(
                payment,
                state=PaymentState.CAPTURED,
                gateway_transaction_id=transaction_id,
                paid_at=uow.now,
            )
            return Result(payment, _payment_completed(payment), cause_id=_cause_id(payment))
        case GatewayOutcome.DECLINED | GatewayOutcome.VOIDED:
            timed_out = payment.voiding and decision.outcome is GatewayOutcome.VOIDED
            payment = uow.move(
                payment,
                state=PaymentState.FAILED,
                fail_reason=FailReason.ORDER_TIMED_OUT if timed_out else FailReason.PG_DECLINED,
                gateway_transaction_id=transaction_id,
                fail_detail=decision.detail,
            )
            return Result(payment, _payment_failed(payment), cause_id=_cause_id(payment))
    return Result(payment)


def _cause_id(payment: Payment) -> str:
    """The event that the external call follows from."""
    return id_of(OrderTimedOut if payment.voiding else StockDecremented, payment.order_id)


def _settle_refund(
    payment: Payment, decision: Decision, uow: PaymentUnitOfWork
) -> Result[Payment, PaymentRefunded | PaymentRefundFailed]:
    cause_id = id_of(OrderCancelRequested, payment.order_id, payment.attempt)
    match decision.outcome:
        case GatewayOutcome.REFUNDED:
            payment = uow.move(payment, state=PaymentState.REFUNDED, refunded_at=uow.now)
            return Result(payment, _payment_refunded(payment), cause_id=cause_id)
        case GatewayOutcome.REFUND_REFUSED:
            detail = decision.detail
            payment = uow.move(payment, state=PaymentState.CAPTURED, fail_detail=detail)
            return Result(payment, _payment_refund_failed(payment), cause_id=cause_id)
    return Result(payment)


def _return_orphaned_capture(
    payment: Payment, decision: Decision, uow: PaymentUnitOfWork
) -> Payment:
    """Refund money that was captured although the payment had failed."""
    outcome, stray = decision.outcome, payment.stray
    if outcome is GatewayOutcome.CAPTURED and stray is None:
        uow.orphaned_captures.add(payment)
        return uow.move(
            payment,
            stray=OrphanedCapture.RETURNING,
            gateway_transaction_id=decision.transaction_id,
            paid_at=uow.now,
        )
    if outcome is GatewayOutcome.REFUNDED and stray is OrphanedCapture.RETURNING:
        return uow.move(payment, stray=OrphanedCapture.RETURNED, refunded_at=uow.now)
    return payment


@reactions.command
def resume_payment(command: ResumePayment, uow: PaymentUnitOfWork) -> None:
    """Begin a payment's external call again, if that is still due."""
    payment = uow.payments.get(command.order_id)
    if payment is not None and uow.is_call_due(payment.retry_at):
        uow.begin_call(payment)


def _payment_completed(payment: Payment) -> PaymentCompleted:
    return PaymentCompleted(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        customer_id=payment.customer_id,
        method=payment.method,
        amount=payment.amount,
        discount_amount=payment.discount_amount,
    )


def _payment_failed(payment: Payment) -> PaymentFailed:
    reason = payment.fail_reason or FailReason.SYSTEM_ERROR
    return PaymentFailed(order_id=payment.order_id, reason=reason)


def _payment_refunded(payment: Payment) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        amount=payment.amount,
        attempt=payment.attempt,
    )


def _payment_refund_failed(payment: Payment) -> PaymentRefundFailed:
    return PaymentRefundFailed(order_id=payment.order_id, attempt=payment.attempt)


# ---------------------------------------------------------------- wallets


@reactions.on
def open_first_wallet(event: UserRegistered, uow: PaymentUnitOfWork) -> None:
    """A customer has signed up: open an empty wallet, unless there is one."""
    if event.user_id not in uow.wallets:
        uow.open_wallet(event.user_id)


@reactions.command
def open_wallet(command: OpenWallet, uow: PaymentUnitOfWork) -> OpenedWallet:
    """Open an empty wallet for a customer who has none."""
    known = uow.wallets.get(command.customer_id)
    if known is not None:
        return OpenedWallet(wallet=known, new=False)
    return OpenedWallet(wallet=uow.open_wallet(command.customer_id), new=True)


@reactions.command
def charge_wallet(command: ChargeWallet, uow: PaymentUnitOfWork) -> Wallet:
    """Bring money into a wallet without a gateway."""
    return uow.book(uow.get_wallet(command.customer_id), EntryKind.CHARGE, command.amount)


@reactions.command
def book_charge(command: BookCharge, uow: PaymentUnitOfWork) -> Wallet:
    """Book a charge that came in after the backup, once."""
    wallet = uow.wallets.get(command.customer_id) or uow.open_wallet(command.customer_id)
    if command.top_up_id is None:
        return uow.book(wallet, EntryKind.CHARGE, command.amount, is_adopted=True)
    known = uow.top_ups.get(command.top_up_id)
    if known is not None and known.state is TopUpState.BOOKED:
        return wallet
    uow.top_ups[command.top_up_id] = TopUp(
        top_up_id=command.top_up_id,
        customer_id=command.customer_id,
        amount=command.amount,
        state=TopUpState.BOOKED,
        created_at=known.created_at if known else uow.now,
        updated_at=uow.now,
        retry_at=None,
    )
    charge, top_up_id = EntryKind.CHARGE, command.top_up_id
    return uow.book(wallet, charge, command.amount, top_up_id=top_up_id, is_adopted=True)


@reactions.command
def seed_wallet(command: SeedWallet, uow: PaymentUnitOfWork) -> Wallet:
    """Open a wallet of a new stack with its first balance, once."""
    known = uow.wallets.get(command.customer_id)
    return known or uow.open_wallet(command.customer_id, command.balance)


@reactions.command
def begin_top_up(command: BeginTopUp, uow: PaymentUnitOfWork) -> TopUp:
    """Record a charge before the gateway is called for it. One that is known stays as it is.

    Its key was forgotten with the database, when that was restored from a backup. Raises KeyReused
    for another charge.
    """
    known = uow.top_ups.get(command.top_up_id)
    if known is not None:
        command.check_replay(known)
        return known
    uow.get_wallet(command.customer_id).check(command.amount)
    top_up = TopUp(
        top_up_id=command.top_up_id,
        customer_id=command.customer_id,
        amount=command.amount,
        state=TopUpState.INTENT,
        created_at=uow.now,
        updated_at=uow.now,
        retry_at=None,
    )
    return uow.begin_top_up_call(top_up)


@reactions.command
def give_up_top_up(command: GiveUpTopUp, uow: PaymentUnitOfWork) -> TopUp:
    """Void a top-up that is not decided yet. A decided one stays as it is."""
    top_up = uow.get_top_up(command.top_up_id)
    if top_up.state is not TopUpState.INTENT:
        return top_up
    return uow.move_top_up(top_up, TopUpState.VOIDING)


@reactions.command
def settle_top_up(command: SettleTopUp, uow: PaymentUnitOfWork) -> TopUp:
    """Act on the gateway's decision about a top-up. Idempotent."""
    known, outcome = uow.get_top_up(command.top_up_id), command.decision.outcome
    top_up = known.with_decision(command.decision)
    match top_up.state, outcome:
        case (TopUpState.INTENT, GatewayOutcome.CAPTURED) | (
            TopUpState.REFUNDING,
            GatewayOutcome.REFUND_REFUSED,
        ):
            return _book_or_refund(top_up, uow)
        case TopUpState.INTENT | TopUpState.VOIDING, GatewayOutcome.DECLINED:
            return uow.move_top_up(top_up, TopUpState.FAILED)
        case TopUpState.INTENT | TopUpState.VOIDING, GatewayOutcome.VOIDED if top_up.retry_at:
            return uow.end_void(top_up)
        case TopUpState.VOIDING | TopUpState.FAILED, GatewayOutcome.CAPTURED:
            return uow.move_top_up(top_up, TopUpState.REFUNDING)
        case TopUpState.REFUNDING, GatewayOutcome.REFUNDED:
            return uow.move_top_up(top_up, TopUpState.REFUNDED)
    return known


@reactions.command
def resume_top_up(command: ResumeTopUp, uow: PaymentUnitOfWork) -> None:
    """Begin a top-up's external call again, if that is still due."""
    top_up = uow.top_ups.get(command.top_up_id)
    if top_up is not None and uow.is_call_due(top_up.retry_at):
        uow.begin_top_up_call(top_up)


def _book_or_refund(top_up: TopUp, uow: PaymentUnitOfWork) -> TopUp:
    """Book the money that the shop holds, or refund it when it no longer fits into the wallet."""
    wallet = uow.get_wallet(top_up.customer_id)
    if not wallet.fits(top_up.amount):
        if top_up.state is TopUpState.REFUNDING:
            return top_up  # neither booked nor refunded: its timer begins the refund again
        return uow.move_top_up(top_up, TopUpState.REFUNDING)
    uow.book(wallet, EntryKind.CHARGE, top_up.amount, top_up_id=top_up.top_up_id)
    return uow.move_top_up(top_up, TopUpState.BOOKED)
