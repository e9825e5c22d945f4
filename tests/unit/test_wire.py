"""Events on the wire: subject, id, headers, body, and what can't be read."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.contract import (
    CONTRACT,
    CouponRestored,
    FailReason,
    OrderCancelRequested,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    ProductChanged,
    ProductStatus,
)
from saga import envelope
from saga.event import Event

ORDER = "11111111-1111-4111-8111-111111111111"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

failed = PaymentFailed(order_id=ORDER, reason=FailReason.INSUFFICIENT_BALANCE)


def test_the_same_decision_has_the_same_id_whoever_makes_it_again() -> None:
    again = PaymentFailed(order_id=ORDER, reason=FailReason.WALLET_NOT_FOUND)
    assert envelope.event_id(failed) == envelope.event_id(again)
    assert UUID(envelope.event_id(failed)).version == 8


def test_other_decisions_have_other_ids() -> None:
    other_order = PaymentFailed(order_id=ORDER.replace("1", "2"), reason=failed.reason)
    first, second = (OrderCancelRequested(order_id=ORDER, attempt=k) for k in (1, 2))
    ids = {envelope.event_id(event) for event in (failed, other_order, first, second)}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("event", "occurrence"),
    [
        (failed, 0),
        (OrderCancelRequested(order_id=ORDER, attempt=3), 3),
        (PaymentRefundFailed(order_id=ORDER, attempt=3), 3),
        (PaymentRefunded(order_id=ORDER, payment_id=ORDER, amount=1, attempt=3), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_id_of_an_event_is_known_before_it_is_said(event: Event, occurrence: int) -> None:
    assert envelope.id_of(type(event), ORDER, occurrence) == envelope.event_id(event)


def test_ids_tell_events_keys_and_occurrences_apart() -> None:
    keys = (ORDER, ORDER.replace("1", "2"))
    ids = {envelope.id_of(*each) for each in product(CONTRACT, keys, range(3))}
    assert len(ids) == len(CONTRACT) * 2 * 3


def test_the_body_is_the_events_json_and_nothing_else() -> None:
    outbound = envelope.encode(failed, NOON)
    assert outbound.subject == f"saga.{ORDER}.PaymentFailed"
    assert msgspec.json.decode(outbound.body) == {
        "orderId": ORDER,
        "reason": "INSUFFICIENT_BALANCE",
    }


def test_headers_are_cloudevents_with_cause_and_trace() -> None:
    cause = envelope.decode(
        CONTRACT, f"saga.{ORDER}.CouponRestored", _body(), {"traceparent": PARENT}
    )
    outbound = envelope.encode(
        failed, NOON, cause_id=cause.event_id, parent_trace=cause.traceparent
    )
    headers = envelope.headers(outbound, "payment")
    assert headers == {
        "Nats-Msg-Id": outbound.event_id,
        "ce-id": outbound.event_id,
        "ce-specversion": "1.0",
        "ce-type": "PaymentFailed",
        "ce-source": "payment",
        "ce-subject": ORDER,
        "ce-time": "2026-01-31T12:00:00.000000Z",
        "ce-causationid": cause.event_id,
        "traceparent": outbound.traceparent,
    }
    assert all(value.isascii() for value in headers.values())
    assert outbound.traceparent[3:35] == PARENT[3:35]
    assert outbound.traceparent != PARENT


def test_a_trace_starts_with_the_order_where_nobody_handed_one_in() -> None:
    assert envelope.encode(failed, NOON).traceparent[3:35] == ORDER.replace("-", "")


@pytest.mark.parametrize("parent", ["", "nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
def test_a_broken_trace_context_is_passed_over(parent: str) -> None:
    outbound = envelope.encode(failed, NOON, parent_trace=parent)
    assert outbound.traceparent == envelope.encode(failed, NOON).traceparent


def test_reading_gives_back_what_was_sealed_with_or_without_headers() -> None:
    outbound = envelope.encode(failed, NOON)
    bare = envelope.decode(CONTRACT, outbound.subject, outbound.body, None)
    full = envelope.decode(
        CONTRACT, outbound.subject, outbound.body, envelope.headers(outbound, "payment")
    )
    assert bare.event == full.event == failed
    assert bare.event_id == full.event_id == outbound.event_id


def test_the_first_of_a_chain_names_no_cause() -> None:
    assert envelope.CAUSE not in envelope.headers(envelope.encode(failed, NOON), "payment")


@pytest.mark.parametrize("token", ["asked-1", "answer-0123456789abcdef"])
def test_a_repeat_is_a_new_message_to_the_broker_and_the_same_event_to_all(token: str) -> None:
    outbound = envelope.encode(failed, NOON, cause_id=ORDER)
    first, again = (
        envelope.headers(outbound, "payment", retransmission=each) for each in (None, token)
    )
    assert again == first | {envelope.MESSAGE_ID: f"{outbound.event_id}/{token}"}


@pytest.mark.parametrize(
    ("repeat", "is_retransmission"),
    [(None, False), ("", False), ("asked-1", True), ("asked-2", True)],
)
def test_who_hears_a_repeat_sees_that_it_is_one(
    repeat: str | None, is_retransmission: bool
) -> None:
    outbound = envelope.encode(failed, NOON)
    headers = envelope.headers(outbound, "payment", retransmission=repeat)
    inbound = envelope.decode(CONTRACT, outbound.subject, outbound.body, headers)
    assert (inbound.event, inbound.event_id) == (failed, outbound.event_id)
    assert (inbound.message_id, inbound.is_retransmission) == (
        headers[envelope.MESSAGE_ID],
        is_retransmission,
    )


def test_a_message_without_an_id_of_its_own_is_no_repeat() -> None:
    outbound = envelope.encode(failed, NOON)
    inbound = envelope.decode(CONTRACT, outbound.subject, outbound.body, None)
    assert (inbound.message_id, inbound.is_retransmission) == (outbound.event_id, False)


def test_readers_ignore_fields_that_they_do_not_know() -> None:
    body = b'{"orderId":"%s","newField":[1,2]}' % ORDER.encode()
    assert envelope.decode(
        CONTRACT, f"saga.{ORDER}.CouponRestored", body, None
    ).event == CouponRestored(order_id=ORDER)


@pytest.mark.parametrize(
    ("subject", "body", "headers", "complaint"),
    [
        (f"saga.{ORDER}.PaymentFailed", b"not json", None, "PaymentFailed"),
        (f"saga.{ORDER}.PaymentFailed", b"\xff\xfe", None, "PaymentFailed"),
        (f"saga.{ORDER}.PaymentFailed", b"{}", None, "missing required field"),
        (f"saga.{ORDER}.PaymentFailed", b"[]", None, "Expected `object`"),
        (f"saga.{ORDER}.OrderLost", b"{}", None, "unknown event type 'OrderLost'"),
        (f"saga.{ORDER}.CouponRestored", None, {"ce-type": "CouponRestored.v2"}, "unknown event"),
        (f"saga.{ORDER}.CouponRestored", None, {"ce-type": "OrderFailed"}, "the subject says"),
        (f"saga.{ORDER[:-1]}2.CouponRestored", None, None, "the body is about"),
        (f"catalog.{ORDER}.CouponRestored", None, None, "the body is about"),
    ],
)
def test_what_is_no_event_is_unreadable_and_says_why(
    subject: str, body: bytes | None, headers: dict[str, str] | None, complaint: str
) -> None:
    with pytest.raises(envelope.MalformedMessage, match=complaint):
        envelope.decode(CONTRACT, subject, _body() if body is None else body, headers)


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5", '"1"', "null", "true"])
def test_a_line_can_not_have_a_quantity_that_is_no_positive_whole_number(quantity: str) -> None:
    line = f'{{"productId":"{ORDER}","quantity":{quantity},"price":1}}'
    body = f'{{"orderId":"{ORDER}","items":[{line}]}}'
    with pytest.raises(envelope.MalformedMessage, match="quantity"):
        envelope.decode(CONTRACT, f"saga.{ORDER}.StockRestored", body.encode(), None)


@given(st.binary(max_size=200), st.sampled_from(sorted(CONTRACT.names)))
def test_any_bytes_are_either_an_event_or_unreadable(body: bytes, name: str) -> None:
    try:
        inbound = envelope.decode(CONTRACT, f"saga.{ORDER}.{name}", body, None)
    except envelope.MalformedMessage as error:
        assert str(error)  # noqa: PT017 - either ending is right
    else:
        assert type(inbound.event).__name__ == name


def test_a_products_events_are_told_apart_by_version() -> None:
    first, second = (
        ProductChanged(
            product_id=ORDER, version=v, name="Cake", price=1, status=ProductStatus.ACTIVE
        )
        for v in (1, 2)
    )
    assert envelope.event_id(first) != envelope.event_id(second)
    assert envelope.encode(first, NOON).subject == f"catalog.{ORDER}.ProductChanged"


def _body() -> bytes:
    return b'{"orderId":"%s"}' % ORDER.encode()
