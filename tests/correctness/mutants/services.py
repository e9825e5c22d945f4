"""Mistakes in the rules of the services that settle an order, and of an erasure."""

from tests.correctness.mutants.mutant import SCHEDULES, Drop, Mutant, Replace, Skip, model, tests

SALES = "tests/unit/test_sales.py"
ADDRESSES = tests("tests/unit/test_addresses.py")

ORDER = (
    Mutant(
        "the order decides its expiry alone",
        "order.reactions",
        "expire",
        Replace("EXPIRES[order.state]", "OrderState.FAILED"),
        model("one order"),
    ),
    Mutant(
        "an order that timed out can't be completed any more",
        "order.reactions",
        "complete",
        Replace("*OPEN", "OrderState.PENDING"),
        model("one order"),
    ),
    Mutant(
        "a finished order is completed once more",
        "order.reactions",
        "complete",
        Replace("*OPEN", "*OrderState"),
        model("without inbox"),
    ),
    Mutant(
        "no attempt number on a refused refund",
        "order.reactions",
        "refuse_cancel",
        Replace("order.attempt == event.attempt", "True"),
        model("a card without inbox"),
    ),
    Mutant(
        "a coupon that comes back cancels any order",
        "order.reactions",
        "finish_cancel",
        Replace("OrderState.CANCELLING", "*OrderState"),
        model("one order"),
    ),
)

COUPON = (
    Mutant(
        "the coupon of a cancelled order stays spent",
        "coupon.reactions",
        "release",
        Replace("(HoldState.HELD, HoldState.SETTLED)", "(HoldState.HELD,)"),
        model("one order"),
    ),
    Mutant(
        "a coupon that another order has used is given out again",
        "coupon.domain",
        "IssuedCoupon.status",
        Drop("self.order_id is not None"),
        model("two orders"),
    ),
    Mutant(
        "the coupon is released without asking who holds it",
        "coupon.unit_of_work",
        "CouponUnitOfWork.give_back",
        Replace("coupon.order_id == hold.order_id", "True"),
        tests("tests/unit/test_coupon_domain.py"),
    ),
    Mutant(
        "a coupon is judged by the time at which the event arrives",
        "coupon.domain",
        "deciding_time",
        Replace("min(max(accepted_at, now - HONOURED_FOR), now)", "now"),
        tests("tests/unit/test_coupon_domain.py"),
    ),
    Mutant(
        "an expired coupon is honoured whenever its order arrives",
        "coupon.domain",
        "deciding_time",
        Replace("max(accepted_at, now - HONOURED_FOR)", "accepted_at"),
        tests("tests/unit/test_coupon_domain.py"),
    ),
    Mutant(
        "a coupon is valid early for an order from the future",
        "coupon.domain",
        "deciding_time",
        Replace(
            "min(max(accepted_at, now - HONOURED_FOR), now)", "max(accepted_at, now - HONOURED_FOR)"
        ),
        tests("tests/unit/test_coupon_domain.py"),
    ),
    Mutant(
        "a coupon is revoked under the order that uses it",
        "coupon.domain",
        "IssuedCoupon.revoke",
        Drop("self.order_id is not None"),
        tests("tests/unit/test_coupon_domain.py"),
    ),
    Mutant(
        "no tombstone at coupon",
        "coupon.reactions",
        "release",
        Drop("HoldState.RELEASED"),
        tests("tests/unit/test_coupon_domain.py"),
    ),
)

PRODUCT = (
    Mutant(
        "no tombstone at product",
        "product.reactions",
        "restore_stock",
        Replace("if hold is None:", "if hold is None:\n    return ()\nif hold is None:"),
        model("one order"),
    ),
    Mutant(
        "a tombstone at product is not answered",
        "product.reactions",
        "decrement_stock",
        Replace("hold.is_tombstone", "False"),
        model("a loss"),
    ),
    Mutant(
        "stock is taken without a look at what is available",
        "product.unit_of_work",
        "ProductUnitOfWork.find_shortage",
        Drop("available < line.quantity"),
        model("two orders"),
    ),
    Mutant(
        "the stock of a cancelled order is not put back",
        "product.reactions",
        "restore_stock",
        Replace("(HoldState.HELD, HoldState.SOLD)", "(HoldState.HELD,)"),
        model("one order"),
    ),
    Mutant(
        "stock that is put back twice",
        "product.reactions",
        "restore_stock",
        Replace("if hold.state in (HoldState.HELD, HoldState.SOLD)", "if True"),
        model("without inbox"),
    ),
    Mutant(
        "a restock without its row in the ledger",
        "product.unit_of_work",
        "ProductUnitOfWork.book",
        Replace("self.ledger.add(entry)", "if entry.delta < 0:\n    self.ledger.add(entry)"),
        model("one order"),
    ),
    Mutant(
        "a cancelled order stays counted as sold",
        "product.unit_of_work",
        "ProductUnitOfWork.restore",
        Drop("self.sales.add"),
        tests(SALES),
    ),
    Mutant(
        "a sale is taken off the hour of the refund",
        "product.unit_of_work",
        "ProductUnitOfWork.restore",
        Replace("sales_of(hold)", "sales_of(hold.move_to(hold.state, self.now))"),
        tests(SALES),
    ),
    Mutant(
        "a payment that arrives twice counts twice",
        "product.reactions",
        "sell",
        Replace("and hold.state is HoldState.HELD", ""),
        tests(SALES),
    ),
    Mutant(
        "new sales replace the earlier ones",
        "chassis.storage.statements",
        "adding",
        Replace("table.c[name] + new.excluded[name]", "new.excluded[name]"),
        tests("tests/integration/test_ranking.py"),
    ),
)

PAYMENT = (
    Mutant(
        "an order is paid twice",
        "payment.reactions",
        "pay",
        Drop("if event.order_id in"),
        model("without inbox"),
    ),
    Mutant(
        "a wallet is overdrawn",
        "payment.domain",
        "Wallet.fits",
        Replace("(delta >= 0 or balance >= 0) and ", ""),
        model("a poor wallet"),
    ),
    Mutant(
        "no tombstone at payment",
        "payment.reactions",
        "decide",
        Replace(
            "return _payment_failed(uow.record(event, PaymentState.FAILED, reason))",
            "return None",
        ),
        model("a loss"),
    ),
    Mutant(
        "a charge in flight is given up without a void",
        "payment.reactions",
        "decide",
        Replace(
            "uow.move(payment, voiding=True)",
            "failed = uow.move(\n"
            "    payment, state=PaymentState.FAILED, fail_reason=FailReason.ORDER_TIMED_OUT\n"
            ")\n"
            "return _payment_failed(failed)",
        ),
        model("a card"),
    ),
    Mutant(
        "a voided charge is never given up",
        "payment.reactions",
        "_settle_charge",
        Replace("GatewayOutcome.DECLINED | GatewayOutcome.VOIDED", "GatewayOutcome.DECLINED"),
        model("a card"),
    ),
    Mutant(
        "a refund that was lost is not executed again",
        "payment.external_calls",
        "payment_call",
        Replace("payment.state is PaymentState.REFUNDING or", ""),
        model("a card"),
    ),
    Mutant(
        "a refused refund leaves the payment hanging",
        "payment.reactions",
        "_settle_refund",
        Replace("GatewayOutcome.REFUND_REFUSED", "GatewayOutcome.DECLINED"),
        model("a card"),
    ),
    Mutant(
        "the refund is refused, and no event is emitted",
        "payment.reactions",
        "_settle_refund",
        Replace("payment, _payment_refund_failed(payment), cause_id=cause_id", "payment"),
        model("a card"),
    ),
    Mutant(
        "a customer who signs up gets a wallet in place of the one that is there",
        "payment.reactions",
        "open_first_wallet",
        Replace("event.user_id not in uow.wallets", "True"),
        model("a user signs up"),
    ),
    Mutant(
        "one refund key for all attempts",
        "payment.external_calls",
        "GatewayCall.refund_key",
        Replace("/{self.attempt}", ""),
        tests("tests/integration/test_gateway_client.py"),
    ),
)

ERASURE = (
    Mutant(
        "an erased customer's orders keep their address",
        "order.store",
        "_erase",
        Replace("tables.shipping_table,", ""),
        SCHEDULES,
    ),
    Mutant(
        "an address of an erased customer is stored again",
        "order.unit_of_work",
        "OrderUnitOfWork._stores_for",
        Replace("return not self.is_erased(customer_id)", "return True"),
        ADDRESSES,
    ),
    Mutant(
        "an address that comes after its customer's erasure is copied",
        "order.unit_of_work",
        "OrderUnitOfWork.copy_address",
        Replace("self._stores_for(copied.customer_id)", "True"),
        model("a user is erased"),
    ),
    Mutant(
        "an older version of an address replaces a newer one",
        "order.unit_of_work",
        "OrderUnitOfWork.copy_address",
        Replace("known.version >= copied.version", "False"),
        model("a user is erased twice"),
    ),
    Mutant(
        "a purge that was lost is never begun again",
        "user.reactions",
        "purge_again",
        Drop("uow.purge(user)"),
        model("a user is erased"),
    ),
    Mutant(
        "a restored account of an erased user stays",
        "user.adoption",
        "adopt_erased",
        Skip(),
        model("user is restored, a user is erased"),
    ),
    Mutant(
        "personal data stays in the outbox, and fills a lost store again",
        "chassis.processing.erasure",
        "erase",
        Drop("delete(outbox)"),
        tests("tests/integration/test_reconciliation.py"),
    ),
    Mutant(
        "an erasure is done with its first purge",
        "user.reactions",
        "end_erasure",
        Replace("uow.now - user.updated_at >= SETTLE", "True"),
        ADDRESSES,
    ),
)

MUTANTS = (*ORDER, *COUPON, *PRODUCT, *PAYMENT, *ERASURE)
