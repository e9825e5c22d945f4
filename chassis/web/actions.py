"""The actions of routes: declared beside each handler, begun by each request.

    @delete("/{tripId:str}", guards=[SIGNED_IN], opt=records("TRIP_CANCEL", on="tripId"))

A service is not built while a route that changes something does not name one, or RECORDS_NOTHING.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler

from chassis import actions
from chassis.actions import Action, ActionOutcome, Learned, RequestedAction
from chassis.service import Service
from chassis.web.access import NOT_SIGNED_IN, SCOPE, Caller, handlers
from chassis.web.errors import Error, to_response
from saga import envelope
from saga.errors import (
    DependencyFailed,
    ExternalSystemFailed,
    Forbidden,
    Invalid,
    Refused,
    SagaError,
    UnsupportedMediaType,
)

_ACTION = "action"
_CRASHED = 500
RECORDS_NOTHING: dict[str, Any] = {_ACTION: None}
"""The `opt` of a route that changes nothing, although its method is not GET."""


def records(
    name: str, on: str | None = None, *, learn: Callable[[Any], Learned] | None = None
) -> dict[str, Any]:
    """The `opt` of a route whose every use the audit log has. See `Action`."""
    return {_ACTION: Action(name, on, learn=learn)}


def records_for_others(
    name: str, on: str | None = None, *, learn: Callable[[Any], Learned] | None = None
) -> dict[str, Any]:
    """The `opt` of a route by which users change what is their own.

    The audit log has what is done for another user, and what is forbidden.
    """
    return {_ACTION: Action(name, on, is_everyday=True, learn=learn)}


def action_of(handler: HTTPRouteHandler) -> Action | None:
    """What the audit log has of a route; None: nothing."""
    action: Action | None = handler.opt.get(_ACTION)
    return action


def check_actions(app: Litestar) -> None:
    """Raises TypeError for a route below /api that changes something and does not say it."""
    for _, handler in handlers(app):
        if _ACTION not in handler.opt and not handler.http_methods <= {"GET", "HEAD"}:
            raise TypeError(f"{handler}: name its action, opt=records(...), or RECORDS_NOTHING")


def begin(scope: Any, handler: HTTPRouteHandler, service: Service[Any]) -> None:
    """Begin the action of a request, unless there will be nothing to record of it."""
    action = action_of(handler)
    if action is None:
        return
    if action.is_everyday and action.learn is None and not _may_act_for_others(scope):
        return
    actions.begin(_requested(scope, action, service), _path_parameters(scope))


def _path_parameters(scope: Any) -> dict[str, Any]:
    """None on the fast path, whose routes have none."""
    found: dict[str, Any] = scope.get("path_params", {})
    return found


def _may_act_for_others(scope: Any) -> bool:
    caller = scope.get(SCOPE)
    return isinstance(caller, Caller) and caller.acts_for_all and caller.user_id is not None


def _requested(scope: Any, action: Action, service: Service[Any]) -> RequestedAction:
    found = scope.get(SCOPE)
    caller = found if isinstance(found, Caller) and not found.is_trusted else NOT_SIGNED_IN
    client = scope.get("client")
    trace = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
    return RequestedAction(
        action=action,
        subject=caller.user_id,
        roles=" ".join(sorted(caller.roles)),
        client_address=client[0] if client else None,
        traceparent=trace if envelope.is_traceparent(trace) else None,
        kept=timedelta(days=service.settings.audit_log_days),
    )


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Error]:
    """The answer to a request that raised this, which the audit log has, if it is for that."""
    handler = request.scope.get("route_handler")
    action = action_of(handler) if isinstance(handler, HTTPRouteHandler) else None
    outcome_and_code = _judged(error)
    if action is not None and outcome_and_code is not None:
        _record(request, action, *outcome_and_code)
    return to_response(request, error)


def _record(
    request: Request[Any, Any, Any], action: Action, outcome: ActionOutcome, code: str
) -> None:
    service: Service[Any] = request.app.state["service"]
    requested = actions.current()
    if requested is None or requested.action is not action:
        actions.begin(_requested(request.scope, action, service), _path_parameters(request.scope))
        requested = actions.current()
    assert requested is not None
    if action.is_everyday and not requested.on_behalf_of and code != Forbidden.code:
        return
    if requested.recorded_code != code:
        service.audit_log.add(requested.entry(outcome, service.clock(), code))


def _judged(error: Exception) -> tuple[ActionOutcome, str] | None:
    """The outcome and the code of an error; None for a malformed request.

    What is hidden from the caller is recorded as what it is: forbidden.
    """
    found = error.__cause__ if isinstance(error.__cause__, Forbidden) else error
    match found:
        case HTTPException(status_code=status) if status < _CRASHED:
            return None
        case UnsupportedMediaType() | Invalid(code=Invalid.code):
            return None
        case Refused() if not isinstance(found, ExternalSystemFailed | DependencyFailed):
            return ActionOutcome.REFUSED, found.code
        case _:
            code = found.code if isinstance(found, SagaError) else SagaError.code
            return ActionOutcome.FAILED, code
