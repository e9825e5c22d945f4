"""An example for every route in the OpenAPI document: what to send, and what comes back.

They are put together from the shapes. A field's example stands here under its name, for a name
means the same everywhere; what is not listed is shown by its type. Ids are those of a new stack's
first data, so that an example can be sent as it is.
"""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)

_ORDER = "01a1fd5b-b50e-7f17-aedd-45aaa59806e5"
_TIME = "2026-01-31T09:00:00.000000Z"
_EXAMPLES: dict[str, Any] = {
    "amount": 15_000,
    "attempts": 1,
    "balance": 985_000,
    "balanceAfter": 997,
    "available": 997,
    "bookedBy": "warehouse 2",
    "body": "not json",
    "category": "drinks",
    "cause": "01a1fd5b-b50e-8fe9-ab09-835570a5851c",
    "checks": {"broker": {"ok": True, "detail": "connected"}},
    "city": "Seoul",
    "claimedBy": "order-8181",
    "couponId": "01a1fd5b-b50e-7be1-9d3c-0a5f0d1c8e44",
    "customerId": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "data": f'{{"name":"OrderCreated","service":"order","time":"{_TIME}"}}',
    "days": 3,
    "delta": -3,
    "description": "freshly roasted",
    "detail": "connected",
    "discountAmount": 0,
    "discountValue": 10,
    "error": "OrderCreated: JSON is malformed: invalid character (byte 4)",
    "event": "OrderCreated",
    "eventId": "01a1fd5b-b50e-8b39-8b64-5590c22a561b",
    "id": "01a1fd5b-b50e-8b39-8b64-5590c22a561b",
    "issuedCouponId": "01a1fd5b-b50e-7c02-8f6b-7d1f5e2a9b10",
    "letterId": 7,
    "limit": 5,
    "minOrderAmount": 10_000,
    "name": "Coffee",
    "orderAmount": 15_000,
    "orderId": _ORDER,
    "orderTrackingId": _ORDER,
    "page": 0,
    "payableAmount": 15_000,
    "paymentId": "01a1fd5b-b50e-8285-ab06-985c7343d5aa",
    "postalCode": "12345",
    "price": 5_000,
    "productId": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "quantity": 3,
    "reason": "DELIVERY",
    "requestId": f"DEC-{_ORDER}",
    "reserved": 0,
    "sequence": 6,
    "service": "order",
    "size": 20,
    "state": "PENDING",
    "status": "ok",
    "stock": 1_000,
    "stream": "SAGA",
    "street": "123 Main St",
    "subject": f"saga.{_ORDER}.OrderCreated",
    "time": _TIME,
    "total": 1,
    "totalAmount": 15_000,
    "units": 3,
}
_BODIES = {"ProductChanges": {"price": 5_500}, "OrderOptions": {"paymentMethod": "WALLET"}}
"""Of what may be left out altogether, one field shows how it is sent."""

_TEXT = {"text/plain": "shop_orders_turned_away_total 0.0\n"}


def show(app: Litestar) -> None:
    """Put an example at every parameter of a path, every body and every answer that goes well."""
    document = app.openapi_schema
    maker = _Maker(document.components.schemas or {})
    for item in (document.paths or {}).values():
        for operation in _operations(item):
            maker.show(operation)


def _operations(item: PathItem) -> list[Operation]:
    found = (item.get, item.post, item.put, item.patch, item.delete)
    return [operation for operation in found if operation is not None]


class _Maker:
    def __init__(self, schemas: dict[str, Schema]) -> None:
        self._schemas = schemas

    def show(self, operation: Operation) -> None:
        for parameter in operation.parameters or ():
            if not isinstance(parameter, Reference) and parameter.param_in == "path":
                parameter.example = _EXAMPLES.get(parameter.name)
        if isinstance(operation.request_body, RequestBody):
            self._show(operation.request_body.content, is_sent=True)
        for status, answer in (operation.responses or {}).items():
            if status.startswith("2") and not isinstance(answer, Reference):
                self._show(answer.content or {}, is_sent=False)

    def _show(self, content: dict[str, OpenAPIMediaType], *, is_sent: bool) -> None:
        for media_type, media in content.items():
            if media.schema is not None:
                text = _TEXT.get(media_type)
                media.example = text or self._of(media.schema, "", is_sent=is_sent)

    def _of(self, schema: Schema | Reference, name: str, *, is_sent: bool) -> Any:
        """An example of this shape, for a field of this name. What may be left out is not sent."""
        if isinstance(schema, Reference):
            known = _BODIES.get(schema.value)
            return known or self._of(self._schemas[schema.value], name, is_sent=is_sent)
        if schema.one_of:
            return self._of_either(schema.one_of, name, is_sent=is_sent)
        if schema.properties:
            names = (schema.required or ()) if is_sent else schema.properties
            return {
                each: self._of(schema.properties[each], each, is_sent=is_sent) for each in names
            }
        if isinstance(schema.items, Schema | Reference):
            return [self._of(schema.items, name, is_sent=is_sent)]
        return schema.enum[0] if schema.enum else _plain(schema, name)

    def _of_either(self, shapes: Sequence[Schema | Reference], name: str, *, is_sent: bool) -> Any:
        """What may be null is null, unless there is something to show."""
        told = [each for each in shapes if not _is_null(each)]
        if len(told) < len(shapes) and name not in _EXAMPLES and name != "address":
            return None
        return self._of(told[0], name, is_sent=is_sent)


def _is_null(schema: Schema | Reference) -> bool:
    return isinstance(schema, Schema) and schema.type is OpenAPIType.NULL


def _plain(schema: Schema, name: str) -> Any:
    known = _EXAMPLES.get(name)
    match schema.type:
        case OpenAPIType.INTEGER:
            return known if isinstance(known, int) else 1
        case OpenAPIType.BOOLEAN:
            return True
        case OpenAPIType.OBJECT:
            return known if isinstance(known, dict) else {}
    if schema.format == OpenAPIFormat.DATE_TIME:
        return _TIME
    return known if isinstance(known, str) else name.upper() or "OK"
