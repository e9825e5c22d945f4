"""Mistakes that somebody could make, and what has to catch each of them."""

from tests.correctness.mutants import chassis, outside, queues
from tests.correctness.mutants.mutant import Mutant, model, tests

__all__ = ["MUTANTS", "Mutant"]

ORDER, COUPON = "order/reactions.py", "coupon/reactions.py"
PRODUCT, PAYMENT = "product/reactions.py", "payment/reactions.py"
COMPLETES = """order = uow.in_state(event.order_id, *OPEN)
    if order is None:
        return None
    order = order.complete("""
BATCH, OUTBOX = "chassis/processing/batch.py", "chassis/outbox/relay.py"

MUTANTS = (
    *queues.MUTANTS,
    *outside.MUTANTS,
    *chassis.MUTANTS,
    model(
        "the order decides its expiry alone",
        ORDER,
        "order.move_to(EXPIRES[order.state], uow.now)",
        "order.move_to(OrderState.FAILED, uow.now)",
        "one order",
    ),
    model(
        "an order that timed out can't be completed any more",
        ORDER,
        COMPLETES,
        COMPLETES.replace("*OPEN", "OrderState.PENDING"),
        "one order",
    ),
    model(
        "a finished order is completed once more",
        ORDER,
        COMPLETES,
        COMPLETES.replace("in_state(event.order_id, *OPEN)", "orders.get(event.order_id)"),
        "without inbox",
    ),
    model(
        "no attempt number on a refused refund",
        ORDER,
        "if order is not None and order.attempt == event.attempt:",
        "if order is not None:",
        "a card without inbox",
    ),
    model(
        "a coupon that comes back cancels any order",
        ORDER,
        "order = uow.in_state(event.order_id, OrderState.CANCELLING)\n    if order is None:\n"
        "        return None\n    uow",
        "order = uow.orders.get(event.order_id)\n    if order is None:\n"
        "        return None\n    uow",
        "one order",
    ),
    model(
        "the coupon of a cancelled order stays spent",
        COUPON,
        "if hold.state not in (HoldState.HELD, HoldState.SETTLED):",
        "if hold.state is not HoldState.HELD:",
        "one order",
    ),
    model(
        "a coupon that another order has used is given out again",
        "coupon/domain.py",
        "        if self.order_id is not None:\n"
        "            return FailReason.COUPON_ALREADY_USED\n",
        "",
        "two orders",
    ),
    tests(
        "the coupon is released without asking who holds it",
        "coupon/unit_of_work.py",
        "if coupon is not None and coupon.order_id == hold.order_id:",
        "if coupon is not None:",
        "tests/unit/test_coupon_domain.py",
    ),
    tests(
        "no tombstone at coupon",
        COUPON,
        "        uow.record(event.order_id, HoldState.RELEASED)",
        "        pass",
        "tests/unit/test_coupon_domain.py",
    ),
    model(
        "no tombstone at product",
        PRODUCT,
        "        uow.record(event.order_id, HoldState.RELEASED)  # a tombstone",
        "        pass  # a tombstone",
        "one order",
    ),
    model(
        "a tombstone at product that says nothing",
        PRODUCT,
        "return (StockRestored(order_id=event.order_id, items=()),) if hold.is_tombstone else ()",
        "return None",
        "a loss",
    ),
    model(
        "stock is taken without looking whether it is there",
        "product/unit_of_work.py",
        "            if self.products[line.product_id].available < line.quantity:\n"
        "                return FailReason.INSUFFICIENT_STOCK, line.product_id\n",
        "            pass\n",
        "two orders",
    ),
    model(
        "the stock of a cancelled order is not put back",
        PRODUCT,
        "if hold.state not in (HoldState.HELD, HoldState.SOLD):",
        "if hold.state is not HoldState.HELD:",
        "one order",
    ),
    model(
        "stock that is put back twice",
        PRODUCT,
        "    if hold.state not in (HoldState.HELD, HoldState.SOLD):\n        return ()\n",
        "",
        "without inbox",
    ),
    model(
        "a restock without its row in the ledger",
        "product/unit_of_work.py",
        "        self.booked[entry.product_id, entry.request_id] = entry\n"
        "        self.ledger.add(entry)\n",
        "        if entry.delta < 0:\n            self.ledger.add(entry)\n",
        "one order",
    ),
    model(
        "an order is paid twice",
        PAYMENT,
        "    if event.order_id in uow.payments:\n        return None\n",
        "",
        "without inbox",
    ),
    model(
        "a wallet is overdrawn",
        PAYMENT,
        "    if not wallet.fits(-event.payable_amount):\n"
        "        return FailReason.INSUFFICIENT_BALANCE\n",
        "",
        "a poor wallet",
    ),
    model(
        "no tombstone at payment",
        PAYMENT,
        "        return _payment_failed(uow.record(event, PaymentState.FAILED, reason))\n"
        "    if payment.state is PaymentState.INTENT",
        "        return None\n    if payment.state is PaymentState.INTENT",
        "a loss",
    ),
    model(
        "a charge in flight is given up without a void",
        PAYMENT,
        "        uow.move(payment, voiding=True)\n    return None",
        "        late = uow.move(\n"
        "            payment, state=PaymentState.FAILED, fail_reason=FailReason.ORDER_TIMED_OUT\n"
        "        )\n        return _payment_failed(late)\n    return None",
        "a card",
    ),
    model(
        "a voided charge is never given up",
        PAYMENT,
        "case GatewayOutcome.DECLINED | GatewayOutcome.VOIDED:\n            timed_out",
        "case GatewayOutcome.DECLINED:\n            timed_out",
        "a card",
    ),
    model(
        "a refund that was lost is not sent for again",
        "payment/external_calls.py",
        "payment.state is PaymentState.REFUNDING or payment.stray is OrphanedCapture.RETURNING:",
        "payment.stray is OrphanedCapture.RETURNING:",
        "a card",
    ),
    model(
        "a refused refund leaves the payment hanging",
        PAYMENT,
        "        case GatewayOutcome.REFUND_REFUSED:\n"
        "            payment = uow.move(payment, state=PaymentState.CAPTURED)\n"
        "            return Result(payment, _payment_refund_failed(payment), cause_id=cause_id)\n",
        "",
        "a card",
    ),
    model(
        "the refund is refused, and nobody is told",
        PAYMENT,
        "return Result(payment, _payment_refund_failed(payment), cause_id=cause_id)",
        "return Result(payment)",
        "a card",
    ),
    tests(
        "one refund key for all attempts",
        "payment/external_calls.py",
        'return f"{self.key}/refund/{self.attempt}"',
        'return f"{self.key}/refund"',
        "tests/integration/test_gateway_client.py",
    ),
    tests(
        "an event's id is random",
        "saga/envelope.py",
        'return ids.derived(key, f"{event_type.__name__}/{occurrence}")',
        "from uuid import uuid4\n\n    return str(uuid4())",
        "tests/unit/test_envelope.py",
    ),
    tests(
        "a repeat is taken for the first time by the broker",
        "saga/envelope.py",
        'MESSAGE_ID: f"{sealed.event_id}/{repeat}" if repeat else sealed.event_id,',
        "MESSAGE_ID: sealed.event_id,",
        "tests/unit/test_envelope.py",
    ),
    tests(
        "a batch that everybody has left is committed all the same",
        "chassis/processing/mailbox.py",
        "while batch:",
        "while True:",
        "tests/integration/test_mailbox.py",
    ),
    tests(
        "a service stops before it has acknowledged what it committed",
        "chassis/processing/mailbox.py",
        "        await self._done.join()\n",
        "",
        "tests/integration/test_mailbox.py",
    ),
    tests(
        "a list of keys is not looked up in the index",
        "chassis/storage/statements.py",
        "        return self\n",
        "        return super().self_group(against)\n",
        "tests/integration/test_statements.py",
    ),
    tests(
        "a cancelled order stays counted as sold",
        "product/unit_of_work.py",
        "                self.sales.add(-sale)\n",
        "                pass\n",
        "tests/unit/test_sales.py",
    ),
    tests(
        "a refund is taken off the hour of the refund",
        "product/unit_of_work.py",
        "for sale in sales_of(hold):",
        "for sale in sales_of(hold.move_to(hold.state, self.now)):",
        "tests/unit/test_sales.py",
    ),
    tests(
        "a payment that arrives twice counts twice",
        PRODUCT,
        "if hold is not None and hold.state is HoldState.HELD:",
        "if hold is not None:",
        "tests/unit/test_sales.py",
    ),
    tests(
        "sales take the place of those that were counted before",
        "chassis/storage/statements.py",
        "table.c[name] + new.excluded[name]",
        "new.excluded[name]",
        "tests/integration/test_ranking.py",
    ),
    tests(
        "the lease of an order that was refused is not given back",
        "order/hot_products.py",
        "                await leases.end([command.order_id], marker)\n",
        "                pass\n",
        "tests/e2e/saga/test_hot_products.py",
        "-k",
        "refused",
    ),
    tests(
        "product's word does not end the leases of what it has decided",
        "chassis/redis/lua/renew.lua",
        "for i = 3, #ARGV do",
        "for i = #ARGV + 1, #ARGV do",
        "tests/integration/test_leases.py",
    ),
    tests(
        "a lease never expires",
        "chassis/redis/lua/lease.lua",
        "'-inf', now)",
        "'-inf', 0)",
        "tests/integration/test_leases.py",
    ),
    tests(
        "no inbox row",
        BATCH,
        "_receive.run(connection, self._received)",
        "_receive.run(connection, [])",
        "tests/integration/test_batch.py",
    ),
    tests(
        "a message that raises leaves what it had changed",
        BATCH,
        "    def _undo(self) -> None:\n        self.working_set.undo()\n",
        "    def _undo(self) -> None:\n        self.working_set.keep()\n",
        "tests/integration/test_batch.py",
    ),
    tests(
        "a dead letter is acknowledged and not stored",
        BATCH,
        "        if condemned:\n",
        "        if False:\n",
        "tests/integration/test_batch.py",
    ),
    tests(
        "an Idempotency-Key answers any request",
        BATCH,
        "if call.idempotency.fingerprint != known.fingerprint:",
        "if False:",
        "tests/integration/test_batch.py",
    ),
    tests(
        "the sweep takes what another instance is publishing",
        OUTBOX,
        '.where(outbox.c.published_at.is_(None), outbox.c.claimed_until <= bindparam("now"))',
        ".where(outbox.c.published_at.is_(None))",
        "tests/integration/test_relay.py",
    ),
    tests(
        "what is not acknowledged counts as published",
        OUTBOX,
        "            if sequence is not None:\n                del",
        "            if True:\n                del",
        "tests/correctness/simulation/test_simulation.py",
        "-k",
        "adds_up",
    ),
    tests(
        "a lost broker store is not noticed",
        "chassis/outbox/reconciliation.py",
        "return await self._broker.event_at(stream, row.sequence) == row.event_id",
        "return True",
        "tests/integration/test_reconciliation.py",
    ),
    tests(
        "one event that stands by chance passes for the whole stream",
        "chassis/outbox/reconciliation.py",
        "WITNESSES if anew or not earlier else 1",
        "1 if earlier else WITNESSES",
        "tests/integration/test_reconciliation.py",
    ),
    tests(
        "the acknowledgement before the commit",
        "chassis/service.py",
        "        heard = Heard(delivery)\n",
        "        await delivery.ack()\n        heard = Heard(delivery)\n",
        "tests/integration/test_service.py",
    ),
    tests(
        "the event is published before the commit",
        "chassis/service.py",
        "            return batch.run(connection, messages)\n",
        "            outcomes = batch.run(connection, messages)\n"
        "            self.relay.offer(batch._said)\n            return outcomes\n",
        "tests/correctness/simulation/test_simulation.py",
        "-k",
        "adds_up",
    ),
    tests(
        "what a lost connection had acknowledged is noted all the same",
        OUTBOX,
        "if taken.connection == self._connection:",
        "if True:",
        "tests/integration/test_relay.py",
    ),
    tests(
        "what was being noted when the connection was lost stays noted",
        OUTBOX,
        "        if doubtful := list(self._doubtful):",
        "        if doubtful := []:",
        "tests/integration/test_relay.py",
    ),
    tests(
        "nobody asks again",
        "chassis/outbox/retransmission.py",
        "            if self._idle():\n",
        "            if False:\n",
        "tests/e2e/saga/test_retransmission.py",
        "-k",
        "OrderCreated-CouponUsed",
    ),
    tests(
        "nobody answers a repeat",
        "chassis/service.py",
        "if message.opened and message.opened.is_repeat and not outcome.said:",
        "if False:",
        "tests/e2e/saga/test_retransmission.py",
        "-k",
        "deaf3",
    ),
    tests(
        "two instances send the same order at once",
        "dataplatform/reactions.py",
        "if delivery is not None and delivery.is_due(uow.now):",
        "if delivery is not None:",
        "tests/unit/test_deliveries.py",
    ),
    tests(
        "listening counts as begun before the broker knows of it",
        "chassis/broker/nats_client.py",
        "self._pending.append(PING_PROTO)",
        "self._transport.write(PING_PROTO)",
        "tests/integration/test_bus.py",
        "-k",
        "flush_comes_behind",
    ),
)
