"""What the payment service does when it hears an event or is asked for something."""

from events.contract import (
    CONTRACT,
    FailReason,
    OrderCancelRequested,
    OrderTimedOut,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    PaymentRefunded,
    PaymentRefundFailed,
    StockDecremented,
)
from payment.domain import (
    BeginTopUp,
    ChargeWallet,
    EntryKind,
    GiveUpTopUp,
    OpenedWallet,
    OpenWallet,
    OrphanedCapture,
    Payment,
    PaymentState,
    ResumePayment,
    ResumeTopUp,
    SeedWallet,
    TopUp,
    TopUpState,
    Wallet,
    Wallets,
    no_top_up,
    no_wallet,
)
from payment.external_calls import GatewayDecided, GatewayOutcome, TopUpDecided
from saga.envelope import id_of
from saga.reactions import Reactions, Result

reactions = Reactions("payment", CONTRACT)


# ---------------------------------------------------------------- paying


@reactions.on
def pay(event: StockDecremented, wallets: Wallets) -> PaymentCompleted | PaymentFailed | None:
    """Take the money from the customer's wallet and say so, in one transaction; or refuse.

    A card's payment is only intended here: the gateway decides it.
    """
    if event.order_id in wallets.payments:
        return None
    if event.payment_method is PaymentMethod.CARD and event.payable_amount > 0:
        wallets.begin_call(wallets.record(event, PaymentState.INTENT))
        return None
    reason = _take(event, wallets)
    if reason is not None:
        return _failed(wallets.record(event, PaymentState.FAILED, reason))
    return _completed(wallets.record(event, PaymentState.CAPTURED))


def _take(event: StockDecremented, wallets: Wallets) -> FailReason | None:
    if event.payment_method is PaymentMethod.CARD:
        return None  # there is nothing to pay
    wallet = wallets.wallets.get(event.customer_id)
    if wallet is None:
        return FailReason.WALLET_NOT_FOUND
    if not wallet.fits(-event.payable_amount):
        return FailReason.INSUFFICIENT_BALANCE
    if event.payable_amount > 0:
        delta = -event.payable_amount
        wallets.book(wallet, EntryKind.PAYMENT, delta, order_id=event.order_id)
    return None


@reactions.on
def decide(event: OrderTimedOut, wallets: Wallets) -> PaymentCompleted | PaymentFailed | None:
    """The order can wait no longer: fail a payment that was not made yet.

    What was decided stays so, and has been said. A charge in flight at the gateway is voided; only
    the gateway knows which of the two was first.
    """
    payment = wallets.payments.get(event.order_id)
    if payment is None:
        reason = FailReason.ORDER_TIMED_OUT
        return _failed(wallets.record(event, PaymentState.FAILED, reason))
    if payment.state is PaymentState.INTENT and not payment.voiding:
        wallets.move(payment, voiding=True)
    return None


@reactions.on
def refund(
    event: OrderCancelRequested, wallets: Wallets
) -> PaymentRefunded | PaymentRefundFailed | None:
    """The customer cancels: give the money back, once."""
    payment = wallets.payments.get(event.order_id)
    if payment is None or payment.state is not PaymentState.CAPTURED:
        return None
    if event.attempt <= payment.attempt:
        return None
    payment = payment.moved(wallets.now, attempt=event.attempt)
    if payment.method is PaymentMethod.CARD and payment.amount > 0:
        wallets.move(payment, state=PaymentState.REFUNDING)
        return None
    if not _give_back(payment, wallets):
        wallets.move(payment)
        return _refund_failed(payment)
    return _refunded(wallets.move(payment, state=PaymentState.REFUNDED))


def _give_back(payment: Payment, wallets: Wallets) -> bool:
    if payment.amount == 0:
        return True
    wallet = wallets.wallets.get(payment.customer_id)
    if wallet is None or not wallet.fits(payment.amount):
        return False
    wallets.book(wallet, EntryKind.REFUND, payment.amount, order_id=payment.order_id)
    return True


@reactions.command
def settle(
    command: GatewayDecided, wallets: Wallets
) -> Result[
    Payment | None, PaymentCompleted | PaymentFailed | PaymentRefunded | PaymentRefundFailed
]:
    """The gateway has decided about a card's payment. Heard twice, it acts once."""
    payment = wallets.payments.get(command.order_id)
    if payment is None:
        return Result(None)
    match payment.state:
        case PaymentState.INTENT:
            return _charged(payment, command.outcome, wallets)
        case PaymentState.REFUNDING if command.attempt == payment.attempt:
            return _refund_decided(payment, command.outcome, wallets)
        case PaymentState.FAILED:
            return Result(_return_orphaned_capture(payment, command.outcome, wallets))
    return Result(payment)


def _charged(
    payment: Payment, outcome: GatewayOutcome, wallets: Wallets
) -> Result[Payment, PaymentCompleted | PaymentFailed]:
    match outcome:
        case GatewayOutcome.CAPTURED:
            payment = wallets.move(payment, state=PaymentState.CAPTURED)
            return Result(payment, _completed(payment), cause_id=_cause_id(payment))
        case GatewayOutcome.DECLINED | GatewayOutcome.VOIDED:
            late = payment.voiding and outcome is GatewayOutcome.VOIDED
            reason = FailReason.ORDER_TIMED_OUT if late else FailReason.PG_DECLINED
            payment = wallets.move(payment, state=PaymentState.FAILED, fail_reason=reason)
            return Result(payment, _failed(payment), cause_id=_cause_id(payment))
    return Result(payment)


def _cause_id(payment: Payment) -> str:
    """The event that made the gateway be asked."""
    return id_of(OrderTimedOut if payment.voiding else StockDecremented, payment.order_id)


def _refund_decided(
    payment: Payment, outcome: GatewayOutcome, wallets: Wallets
) -> Result[Payment, PaymentRefunded | PaymentRefundFailed]:
    cause_id = id_of(OrderCancelRequested, payment.order_id, payment.attempt)
    match outcome:
        case GatewayOutcome.REFUNDED:
            payment = wallets.move(payment, state=PaymentState.REFUNDED)
            return Result(payment, _refunded(payment), cause_id=cause_id)
        case GatewayOutcome.REFUND_REFUSED:
            payment = wallets.move(payment, state=PaymentState.CAPTURED)
            return Result(payment, _refund_failed(payment), cause_id=cause_id)
    return Result(payment)


def _return_orphaned_capture(
    payment: Payment, outcome: GatewayOutcome, wallets: Wallets
) -> Payment:
    """Money was captured after all for a payment that had failed: it is refunded."""
    if outcome is GatewayOutcome.CAPTURED and payment.stray is None:
        wallets.orphaned_captures.add(payment)
        return wallets.move(payment, stray=OrphanedCapture.RETURNING)
    if outcome is GatewayOutcome.REFUNDED and payment.stray is OrphanedCapture.RETURNING:
        return wallets.move(payment, stray=OrphanedCapture.RETURNED)
    return payment


@reactions.command
def resume_payment(command: ResumePayment, wallets: Wallets) -> None:
    """Send for the gateway's decision once more, if it is still due."""
    payment = wallets.payments.get(command.order_id)
    if payment is not None and payment.retry_at is not None and payment.retry_at <= wallets.now:
        wallets.begin_call(payment)


def _completed(payment: Payment) -> PaymentCompleted:
    return PaymentCompleted(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        customer_id=payment.customer_id,
        method=payment.method,
        amount=payment.amount,
        discount_amount=payment.discount_amount,
    )


def _failed(payment: Payment) -> PaymentFailed:
    reason = payment.fail_reason or FailReason.SYSTEM_ERROR
    return PaymentFailed(order_id=payment.order_id, reason=reason)


def _refunded(payment: Payment) -> PaymentRefunded:
    return PaymentRefunded(
        order_id=payment.order_id,
        payment_id=payment.payment_id,
        amount=payment.amount,
        attempt=payment.attempt,
    )


def _refund_failed(payment: Payment) -> PaymentRefundFailed:
    return PaymentRefundFailed(order_id=payment.order_id, attempt=payment.attempt)


# ---------------------------------------------------------------- wallets


@reactions.command
def open_wallet(command: OpenWallet, wallets: Wallets) -> OpenedWallet:
    """Open an empty wallet for a customer who has none."""
    known = wallets.wallets.get(command.customer_id)
    if known is not None:
        return OpenedWallet(wallet=known, new=False)
    return OpenedWallet(wallet=wallets.open(command.customer_id), new=True)


@reactions.command
def charge_wallet(command: ChargeWallet, wallets: Wallets) -> Wallet:
    """Put money into a wallet, where no gateway is asked for it."""
    wallet = _wallet(command.customer_id, wallets)
    return wallets.book(wallet, EntryKind.CHARGE, command.amount)


@reactions.command
def seed_wallet(command: SeedWallet, wallets: Wallets) -> Wallet:
    """Open a wallet of a new stack with its first balance, once."""
    known = wallets.wallets.get(command.customer_id)
    return known or wallets.open(command.customer_id, command.balance)


@reactions.command
def begin_top_up(command: BeginTopUp, wallets: Wallets) -> TopUp:
    """Note what is to be charged before anybody is asked for it."""
    wallet = _wallet(command.customer_id, wallets)
    wallet.check(command.amount)
    top_up = TopUp(
        top_up_id=command.top_up_id,
        customer_id=command.customer_id,
        amount=command.amount,
        state=TopUpState.INTENT,
        created_at=wallets.now,
        updated_at=wallets.now,
        retry_at=None,
    )
    return wallets.begin_top_up_call(top_up)


@reactions.command
def give_up_top_up(command: GiveUpTopUp, wallets: Wallets) -> TopUp:
    """Nobody waits for it any more: it may not take effect. One that has taken effect stays."""
    top_up = _top_up(command.top_up_id, wallets)
    if top_up.state is not TopUpState.INTENT:
        return top_up
    return wallets.begin_top_up_call(top_up.moved(TopUpState.VOIDING, wallets.now))


@reactions.command
def settle_top_up(command: TopUpDecided, wallets: Wallets) -> TopUp:
    """The gateway has decided about a top-up. Heard twice, it acts once."""
    top_up = _top_up(command.top_up_id, wallets)
    match top_up.state, command.outcome:
        case TopUpState.INTENT, GatewayOutcome.CAPTURED:
            return _book_or_return(top_up, wallets)
        case (
            TopUpState.INTENT | TopUpState.VOIDING,
            GatewayOutcome.DECLINED | GatewayOutcome.VOIDED,
        ):
            return wallets.begin_top_up_call(top_up.moved(TopUpState.FAILED, wallets.now))
        case TopUpState.VOIDING | TopUpState.FAILED, GatewayOutcome.CAPTURED:
            return wallets.begin_top_up_call(top_up.moved(TopUpState.REFUNDING, wallets.now))
        case TopUpState.REFUNDING, GatewayOutcome.REFUNDED:
            return wallets.begin_top_up_call(top_up.moved(TopUpState.REFUNDED, wallets.now))
        case TopUpState.REFUNDING, GatewayOutcome.REFUND_REFUSED:
            return _book_or_return(top_up, wallets)  # the money is ours: so the customer has it
    return top_up


@reactions.command
def resume_top_up(command: ResumeTopUp, wallets: Wallets) -> None:
    """Send for the gateway's decision once more, if it is still due."""
    top_up = wallets.top_ups.get(command.top_up_id)
    if top_up is not None and top_up.retry_at is not None and top_up.retry_at <= wallets.now:
        wallets.begin_top_up_call(top_up)


def _book_or_return(top_up: TopUp, wallets: Wallets) -> TopUp:
    """Book the money that was captured; what does not fit into the wallet any more goes back."""
    wallet = _wallet(top_up.customer_id, wallets)
    if not wallet.fits(top_up.amount):
        if top_up.state is TopUpState.REFUNDING:
            return top_up  # neither here nor there: its timer sends for it again
        return wallets.begin_top_up_call(top_up.moved(TopUpState.REFUNDING, wallets.now))
    wallets.book(wallet, EntryKind.CHARGE, top_up.amount, top_up_id=top_up.top_up_id)
    return wallets.begin_top_up_call(top_up.moved(TopUpState.BOOKED, wallets.now))


def _wallet(customer_id: str, wallets: Wallets) -> Wallet:
    wallet = wallets.wallets.get(customer_id)
    if wallet is None:
        raise no_wallet(customer_id)
    return wallet


def _top_up(top_up_id: str, wallets: Wallets) -> TopUp:
    top_up = wallets.top_ups.get(top_up_id)
    if top_up is None:
        raise no_top_up(top_up_id)
    return top_up
