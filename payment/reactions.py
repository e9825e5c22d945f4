"""What the payment service does when it hears an event or is asked for something."""

from events.contract import (
    FailReason,
    PaymentCompleted,
    PaymentFailed,
    PaymentMethod,
    StockDecremented,
)
from events.reactions import Reactions
from payment.domain import (
    ChargeWallet,
    EntryKind,
    OpenedWallet,
    OpenWallet,
    SeedWallet,
    Wallet,
    Wallets,
    no_wallet,
)

reactions = Reactions("payment")


@reactions.on
def pay(event: StockDecremented, wallets: Wallets) -> PaymentCompleted | PaymentFailed | None:
    """Take the money from the customer's wallet and say so, in one transaction; or refuse."""
    if event.order_id in wallets.payments:
        return None
    reason = _take(event, wallets)
    payment = wallets.record(event, reason)
    if reason is not None:
        return PaymentFailed(order_id=event.order_id, reason=reason)
    return PaymentCompleted(
        order_id=event.order_id,
        payment_id=payment.payment_id,
        customer_id=event.customer_id,
        method=event.payment_method,
        amount=event.payable_amount,
        discount_amount=event.discount_amount,
    )


def _take(event: StockDecremented, wallets: Wallets) -> FailReason | None:
    if event.payment_method is not PaymentMethod.WALLET:
        return FailReason.PG_DECLINED  # no payment gateway is connected
    wallet = wallets.wallets.get(event.customer_id)
    if wallet is None:
        return FailReason.WALLET_NOT_FOUND
    if wallet.balance < event.payable_amount:
        return FailReason.INSUFFICIENT_BALANCE
    if event.payable_amount > 0:
        wallets.book(wallet, EntryKind.PAYMENT, -event.payable_amount, event.order_id)
    return None


@reactions.command
def open_wallet(command: OpenWallet, wallets: Wallets) -> OpenedWallet:
    """Open an empty wallet for a customer who has none."""
    known = wallets.wallets.get(command.customer_id)
    if known is not None:
        return OpenedWallet(wallet=known, new=False)
    return OpenedWallet(wallet=wallets.open(command.customer_id), new=True)


@reactions.command
def charge_wallet(command: ChargeWallet, wallets: Wallets) -> Wallet:
    """Put money into a wallet."""
    wallet = wallets.wallets.get(command.customer_id)
    if wallet is None:
        raise no_wallet(command.customer_id)
    return wallets.book(wallet, EntryKind.CHARGE, command.amount)


@reactions.command
def seed_wallet(command: SeedWallet, wallets: Wallets) -> Wallet:
    """Open a wallet of a new stack with its first balance, once."""
    known = wallets.wallets.get(command.customer_id)
    return known or wallets.open(command.customer_id, command.balance)
