"""Words of the OpenAPI documents about the routes that every service has.

Descriptions are found by `Schema.field`, then by the name of the field. So are example values, and
`operationId status` has the fields that one response shows otherwise. A service adds its own.
"""

from typing import Any

_TIME = "2026-01-31T09:00:00.000000Z"
_DATABASE = {"ok": True, "detail": "answers", "required": True}
_LOOPS = {"ok": True, "detail": "all loops run", "required": True}
EXAMPLES: dict[str, Any] = {
    "adopted": 0,
    "beganAt": None,
    "eventId": "01a1fd5b-b50e-8b39-8b64-5590c22a561b",
    "id": "01a1fd5b-b50e-8b39-8b64-5590c22a561b",
    "key": "01a1fd5b-b50e-7f17-aedd-45aaa59806e5",
    "letterId": 7,
    "oldestAt": _TIME,
    "page": 0,
    "sequence": 6,
    "size": 20,
    "total": 1,
    "undelivered": 0,
    "unpublished": 0,
    "what": "the restored row lacks what was published",
    "DeadLetter.body": "no JSON",
    "DeadLetter.headers": {},
    "DeadLetter.id": 7,
    "getLiveness 503": {
        "status": "broken",
        "checks": {"loops": {"ok": False, "detail": "a loop has ended", "required": True}},
    },
    "getReadiness 503": {
        "status": "not ready",
        "checks": {"draining": {"ok": False, "detail": "is stopping", "required": True}},
    },
    "getLiveness 200": {"status": "alive", "checks": {"loops": _LOOPS}},
    "getReadiness 200": {"status": "ready", "checks": {"database": _DATABASE}},
    "getRecovery 200": {"active": False, "findings": [], "total": 0},
}
DESCRIPTIONS = {
    "Idempotency-Key": "1 to 255 printable ASCII characters of the client's choice, new for each "
    "new request. The same request with the same key is executed once.",
    "active": "Is the service in recovery mode now?",
    "adopted": "Events of its own that the database lacked.",
    "attempts": "How often it was tried.",
    "beganAt": "When the recovery began; null if there was none.",
    "checks": "What was checked, by name.",
    "claimedBy": "The instance that publishes the event.",
    "createdAt": "When it was stored.",
    "details": "More for programs, or null. `details.problems` of a VALIDATION_ERROR lists each "
    "wrong field: its `key`, a `message` and the `source` (body, query or header).",
    "detail": "What was found.",
    "error": "A stable code, for programs.",
    "eventId": "The event's id.",
    "findings": "What needs an operator, the oldest first; at most 1,000.",
    "headers": "The message's headers.",
    "items": "The rows, in the order that the route documents.",
    "key": "The id that the event is about, such as the order's.",
    "kind": "The kind of the row.",
    "letterId": "The dead letter's id.",
    "message": "A sentence for people.",
    "name": "The event's name.",
    "ok": "Is it as it should be?",
    "olderThanSeconds": "Only those that have waited at least so many seconds.",
    "oldestAt": "When the oldest unpublished event was stored; null if there is none.",
    "page": "The number of the page, from 0.",
    "reason": "Why.",
    "redrivenAt": "When it was redriven last; null if never.",
    "releasedAt": "When the recovery was released; null if it was not yet.",
    "required": "Without it the probe answers 503.",
    "sequence": "The message's sequence number in the stream.",
    "since": "Since when.",
    "size": "Rows on a page, at most.",
    "state": "The state of the row.",
    "stream": "The stream that had the message.",
    "subject": "The subject of the message on the broker.",
    "total": "Rows on all pages together.",
    "undelivered": "Events of others that are not handled yet; null while that is not known.",
    "unpublished": "New events, which are published after the release.",
    "what": "What was found, as a sentence.",
    "DeadLetter.body": "The message's body as text, whatever it is.",
    "DeadLetter.error": "The last error, in detail.",
    "DeadLetter.id": "The dead letter's id, counted from 1 in each service.",
    "DeadLetter.reason": "Why the message could not be handled.",
    "Health.status": "The result of all required checks.",
    "UnsettledSaga.since": "When the row changed last.",
}
