"""What people do through the routes, for the audit log.

A route declares its `Action` beside its handler. A request begins it, and the first command that
the request asks for takes it along: the batch that executes the command writes the entry, in the
transaction of what changes. What is refused or fails changes nothing, and is written beside the
batches (`chassis.audit_log`).
"""

import re
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

_CAPITAL = re.compile(r"(?<=[a-z])([A-Z])")
_IDENTIFIER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{1,19}")


class ActionOutcome(StrEnum):
    """REFUSED: a rule, or a role that is missing. FAILED: an outage, a crash, another system."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    FAILED = "FAILED"


class Learned(msgspec.Struct, frozen=True):
    """What a command's result tells: the user, where none was signed in, and a refusal's code.

    `roles` are the user's.
    """

    subject: str | None = None
    code: str | None = None
    roles: str = ""


class Action(msgspec.Struct, frozen=True):
    """What a route does.

    `on`: the path parameter, and the field of the command, with the id of what it is about.
    `is_everyday`: users do it for themselves all day. Then only what is done for another user, and
    what is forbidden, is recorded.
    """

    name: str
    on: str | None = None
    is_everyday: bool = False
    learn: Callable[[Any], Learned] | None = None

    @property
    def kind(self) -> str | None:
        """What `on` is the id of: "trip" for "tripId"."""
        return self.on.removesuffix("Id") if self.on else None

    @property
    def field(self) -> str:
        """The name of `on` in a command."""
        return _CAPITAL.sub(r"_\1", self.on or "").lower()


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit log. `times`: how often, where refusals are counted in one entry."""

    at: datetime
    subject: str | None
    roles: str
    client_address: str | None
    action: str
    kind: str | None
    target: str | None
    on_behalf_of: str | None
    outcome: ActionOutcome
    code: str | None
    traceparent: str | None
    times: int = 1
    kept_until: datetime


class RequestedAction(msgspec.Struct, kw_only=True):
    """An action that a request has begun. `kept`: how long its entry stays.

    `target` is the id of what it is about, where that is known before the command. `is_taken`: a
    command has it. `recorded_code`: of the refusal that its entry has already.
    """

    action: Action
    subject: str | None
    roles: str
    client_address: str | None
    traceparent: str | None
    kept: timedelta
    target: str | None = None
    on_behalf_of: str | None = None
    is_taken: bool = False
    recorded_code: str | None = None

    def executed(self, command: object, result: object, now: datetime) -> AuditEntry | None:
        """The entry of a command that has changed something; None where none is wanted."""
        learned = self.action.learn(result) if self.action.learn else Learned()
        if self.action.is_everyday and not (learned.code or self.on_behalf_of):
            return None
        if self.subject is None and learned.subject is not None:
            self.subject, self.roles = learned.subject, learned.roles
        self.target = self.target or _identifier(getattr(command, self.action.field, None))
        self.recorded_code = learned.code
        return self.entry(ActionOutcome.REFUSED if learned.code else ActionOutcome.DONE, now)

    def entry(self, outcome: ActionOutcome, now: datetime, code: str | None = None) -> AuditEntry:
        return AuditEntry(
            at=now,
            subject=self.subject,
            roles=self.roles,
            client_address=self.client_address,
            action=self.action.name,
            kind=self.action.kind,
            target=self.target,
            on_behalf_of=self.on_behalf_of,
            outcome=outcome,
            code=code or self.recorded_code,
            traceparent=self.traceparent,
            kept_until=now + self.kept,
        )


def without_request(action: Action, now: datetime, kept: timedelta) -> AuditEntry:
    """The entry of what was done without a request, such as by a setting at the start."""
    requested = RequestedAction(
        action=action, subject=None, roles="", client_address=None, traceparent=None, kept=kept
    )
    return requested.entry(ActionOutcome.DONE, now)


_current: ContextVar[RequestedAction | None] = ContextVar("requested_action", default=None)


def begin(requested: RequestedAction, path_parameters: dict[str, Any]) -> None:
    """The action of the request that runs in this task."""
    if requested.action.on:
        requested.target = _identifier(path_parameters.get(requested.action.on))
    _current.set(requested)


def current() -> RequestedAction | None:
    """None where the request's route has no action, and outside of a request."""
    return _current.get()


def take() -> RequestedAction | None:
    """The action of this request, for the one command that does it."""
    requested = _current.get()
    if requested is None or requested.is_taken:
        return None
    requested.is_taken = True
    return requested


def about(target: str) -> None:
    """Name what the action of this request is about, where its path and command do not."""
    if requested := _current.get():
        requested.target = target


def on_behalf_of(user_id: str) -> None:
    """The action of this request is done for another user."""
    if requested := _current.get():
        requested.on_behalf_of = user_id


def _identifier(value: object) -> str | None:
    """An id, of whatever type. Any other text that a client has sent is not recorded."""
    text = "" if value is None else str(value)
    return text if _IDENTIFIER.fullmatch(text) else None
