"""Envelopes: subject, id, headers and body of an event, and malformed messages."""

from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.contract import (
    CONTRACT,
    Address,
    AddressChanged,
    CouponRestored,
    FailReason,
    OrderCancelRequested,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    ProductChanged,
    ProductStatus,
    ShippingAddressGiven,
)
from saga import envelope
from saga.event import Event

ORDER = "11111111-1111-4111-8111-111111111111"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)

failed = PaymentFailed(order_id=ORDER, reason=FailReason.INSUFFICIENT_BALANCE)


def test_repeated_decision_has_the_same_event_id() -> None:
    again = PaymentFailed(order_id=ORDER, reason=FailReason.WALLET_NOT_FOUND)
    assert envelope.event_id(failed) == envelope.event_id(again)
    assert UUID(envelope.event_id(failed)).version == 8


def test_different_decisions_have_different_event_ids() -> None:
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
def test_event_id_is_known_before_the_event_is_published(event: Event, occurrence: int) -> None:
    assert envelope.id_of(type(event), ORDER, occurrence) == envelope.event_id(event)


def test_event_ids_differ_by_event_key_and_occurrence() -> None:
    keys = (ORDER, ORDER.replace("1", "2"))
    ids = {envelope.id_of(*each) for each in product(CONTRACT, keys, range(3))}
    assert len(ids) == len(CONTRACT) * 2 * 3


def test_body_is_the_json_of_the_event() -> None:
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


def test_trace_without_a_parent_starts_with_the_order() -> None:
    assert envelope.encode(failed, NOON).traceparent[3:35] == ORDER.replace("-", "")


@pytest.mark.parametrize("parent", ["", "nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01"])
def test_invalid_trace_context_is_ignored(parent: str) -> None:
    outbound = envelope.encode(failed, NOON, parent_trace=parent)
    assert outbound.traceparent == envelope.encode(failed, NOON).traceparent


def test_decoding_returns_the_encoded_event_with_or_without_headers() -> None:
    outbound = envelope.encode(failed, NOON)
    bare = envelope.decode(CONTRACT, outbound.subject, outbound.body, None)
    full = envelope.decode(
        CONTRACT, outbound.subject, outbound.body, envelope.headers(outbound, "payment")
    )
    assert bare.event == full.event == failed
    assert bare.event_id == full.event_id == outbound.event_id


def test_first_event_of_an_order_has_no_cause() -> None:
    assert envelope.CAUSE not in envelope.headers(envelope.encode(failed, NOON), "payment")


@pytest.mark.parametrize("token", ["asked-1", "answer-0123456789abcdef"])
def test_retransmission_has_a_new_message_id_and_the_same_event_id(token: str) -> None:
    outbound = envelope.encode(failed, NOON, cause_id=ORDER)
    first, again = (
        envelope.headers(outbound, "payment", retransmission=each) for each in (None, token)
    )
    assert again == first | {envelope.MESSAGE_ID: f"{outbound.event_id}/{token}"}


@pytest.mark.parametrize(
    ("token", "is_retransmission"),
    [(None, False), ("", False), ("asked-1", True), ("asked-2", True)],
)
def test_decoded_retransmission_is_marked_as_one(
    token: str | None, is_retransmission: bool
) -> None:
    outbound = envelope.encode(failed, NOON)
    headers = envelope.headers(outbound, "payment", retransmission=token)
    inbound = envelope.decode(CONTRACT, outbound.subject, outbound.body, headers)
    assert (inbound.event, inbound.event_id) == (failed, outbound.event_id)
    assert (inbound.message_id, inbound.is_retransmission) == (
        headers[envelope.MESSAGE_ID],
        is_retransmission,
    )


def test_message_without_headers_is_no_retransmission() -> None:
    outbound = envelope.encode(failed, NOON)
    inbound = envelope.decode(CONTRACT, outbound.subject, outbound.body, None)
    assert (inbound.message_id, inbound.is_retransmission) == (outbound.event_id, False)


def test_unknown_fields_are_ignored() -> None:
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
def test_malformed_message_is_refused_with_a_reason(
    subject: str, body: bytes | None, headers: dict[str, str] | None, complaint: str
) -> None:
    with pytest.raises(envelope.MalformedMessage, match=complaint):
        envelope.decode(CONTRACT, subject, _body() if body is None else body, headers)


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5", '"1"', "null", "true"])
def test_quantity_is_a_positive_whole_number(quantity: str) -> None:
    line = f'{{"productId":"{ORDER}","quantity":{quantity},"price":1}}'
    body = f'{{"orderId":"{ORDER}","items":[{line}]}}'
    with pytest.raises(envelope.MalformedMessage, match="quantity"):
        envelope.decode(CONTRACT, f"saga.{ORDER}.StockRestored", body.encode(), None)


@given(st.binary(max_size=200), st.sampled_from(sorted(CONTRACT.names)))
def test_any_bytes_are_an_event_or_a_malformed_message(body: bytes, name: str) -> None:
    try:
        inbound = envelope.decode(CONTRACT, f"saga.{ORDER}.{name}", body, None)
    except envelope.MalformedMessage as error:
        assert str(error)  # noqa: PT017 - both results are right
    else:
        assert type(inbound.event).__name__ == name


def test_event_ids_of_a_product_differ_by_version() -> None:
    first, second = (
        ProductChanged(
            product_id=ORDER, version=v, name="Cake", price=1, status=ProductStatus.ACTIVE
        )
        for v in (1, 2)
    )
    assert envelope.event_id(first) != envelope.event_id(second)
    assert envelope.encode(first, NOON).subject == f"catalog.{ORDER}.ProductChanged"


def test_entry_is_the_last_token_of_the_subject_and_a_part_of_the_id() -> None:
    home, work = (
        AddressChanged(user_id=ORDER, address_id=ORDER.replace("1", digit), version=1)
        for digit in "23"
    )
    outbound = envelope.encode(home, NOON)
    assert outbound.subject == f"personal.{ORDER}.AddressChanged.{home.address_id}"
    assert outbound.event_id == envelope.id_of(AddressChanged, ORDER, 1, home.entry)
    assert outbound.event_id != envelope.event_id(work)
    inbound = envelope.decode(CONTRACT, outbound.subject, outbound.body, None)
    assert (inbound.event, inbound.event_id) == (home, outbound.event_id)
    assert envelope.subject_of(AddressChanged) == "personal.*.AddressChanged.*"
    assert envelope.subject_of(AddressChanged, ORDER) == f"personal.{ORDER}.AddressChanged.*"


@pytest.mark.parametrize("end", ["", f".{ORDER}", f".{ORDER}.{ORDER}"])
def test_subject_with_another_entry_is_malformed(end: str) -> None:
    address = Address(street="1 Road", postal_code="1", city="Seoul")
    given = ShippingAddressGiven(
        customer_id=ORDER, order_id=ORDER.replace("1", "2"), address=address
    )
    body = envelope.encode(given, NOON).body
    with pytest.raises(envelope.MalformedMessage, match=r"the body is about '1.*' and '2.*'"):
        envelope.decode(CONTRACT, f"personal.{ORDER}.ShippingAddressGiven{end}", body, None)


@pytest.mark.parametrize(
    ("subject", "name"),
    [(f"saga.{ORDER}.PaymentFailed", "PaymentFailed"), ("a.b.C.d", "C"), ("a.b", ""), ("", "")],
)
def test_name_of_an_event_is_the_third_token_of_its_subject(subject: str, name: str) -> None:
    assert envelope.name_in(subject) == name


def _body() -> bytes:
    return b'{"orderId":"%s"}' % ORDER.encode()
