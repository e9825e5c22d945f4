"""`make trace`: retransmissions are folded, and events of several outboxes stand in order."""

from msgspec.structs import replace

from ops import trace
from ops.trace import TracedEvent

CREATED = TracedEvent(name="OrderCreated", service="order", time="2026-01-31T09:00:00.2Z", id="1")
USED = TracedEvent("CouponUsed", "coupon", "2026-01-31T09:00:00.1Z", id="2", cause="1")
TAKEN = TracedEvent("StockDecremented", "product", "2026-01-31T09:00:00.3Z", id="3", cause="2")
FOREIGN = TracedEvent("Copied")


def test_retransmissions_are_counted_at_the_first_place() -> None:
    later = replace(USED, time="2026-01-31T09:00:09Z")
    folded = trace.folded([CREATED, USED, TAKEN, later, later])
    assert folded == [CREATED, replace(USED, times=3), TAKEN]


def test_messages_without_an_id_are_not_folded() -> None:
    assert trace.folded([FOREIGN, CREATED, FOREIGN]) == [FOREIGN, CREATED, FOREIGN]


def test_event_stands_behind_its_cause_whatever_the_clocks_are() -> None:
    assert trace.in_order([TAKEN, USED, CREATED]) == [CREATED, USED, TAKEN]


def test_events_that_cause_each_other_do_not_stop_it() -> None:
    first, second = replace(CREATED, cause="2"), replace(USED, cause="1")
    assert trace.in_order([first, second]) == [second, first]
