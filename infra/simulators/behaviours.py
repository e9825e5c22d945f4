"""The faults that the simulated gateway injects: rules, and which of them applies."""

from enum import StrEnum
from typing import Annotated

import msgspec

MAX_RULES = 1_000
MAX_RULE_SECONDS = 600.0


class Operation(StrEnum):
    CHARGE = "charge"
    INQUIRE = "inquire"
    VOID = "void"
    REFUND = "refund"


class Does(StrEnum):
    """What it does instead of what was requested.

    APPROVE              what was requested
    DECLINE              charge: declined
    REFUSE               refund: refused
    ERROR                500; nothing has happened
    HANG                 no answer for `seconds`, then 504; nothing has happened
    CAPTURE_THEN_ERROR   charge: captured, and 500
    CAPTURE_THEN_HANG    charge: captured, and no answer for `seconds`
    CAPTURE_THEN_REFUSE  charge: captured, and 400
    LAND_LATE            charge: 504 at once, unknown to inquiries, captured after `seconds` unless
                         it was voided by then
    LAND_AFTER_VOID      charge: the same with a broken fence: it lands although it was voided
    ANSWER_TWICE         charge: captured, and the HTTP answer written twice
    REFUND_THEN_ERROR    refund: given back, and 500
    REFUND_THEN_HANG     refund: given back, and no answer for `seconds`
    REFUND_THEN_REFUSE   refund: given back, and 400

    Odd answers; nothing has happened:
    BAD_REQUEST          400 with a reason
    UNPROCESSABLE        422 with a reason
    IN_USE               409 that decides nothing: the key is in use
    OVERLOADED           429 with Retry-After: `seconds`
    MAINTENANCE          503 with Retry-After: `seconds`, as a date
    UNAUTHORIZED         401
    REDIRECT             307 to the same address
    HTML                 200 with a page
    EMPTY                200 without a body
    MALFORMED            200 with the first half of a JSON document
    OTHER_KEY            200, about another key
    """

    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    REFUSE = "REFUSE"
    ERROR = "ERROR"
    HANG = "HANG"
    CAPTURE_THEN_ERROR = "CAPTURE_THEN_ERROR"
    CAPTURE_THEN_HANG = "CAPTURE_THEN_HANG"
    CAPTURE_THEN_REFUSE = "CAPTURE_THEN_REFUSE"
    LAND_LATE = "LAND_LATE"
    LAND_AFTER_VOID = "LAND_AFTER_VOID"
    ANSWER_TWICE = "ANSWER_TWICE"
    REFUND_THEN_ERROR = "REFUND_THEN_ERROR"
    REFUND_THEN_HANG = "REFUND_THEN_HANG"
    REFUND_THEN_REFUSE = "REFUND_THEN_REFUSE"
    BAD_REQUEST = "BAD_REQUEST"
    UNPROCESSABLE = "UNPROCESSABLE"
    IN_USE = "IN_USE"
    OVERLOADED = "OVERLOADED"
    MAINTENANCE = "MAINTENANCE"
    UNAUTHORIZED = "UNAUTHORIZED"
    REDIRECT = "REDIRECT"
    HTML = "HTML"
    EMPTY = "EMPTY"
    MALFORMED = "MALFORMED"
    OTHER_KEY = "OTHER_KEY"


ODD = frozenset(
    {
        Does.BAD_REQUEST,
        Does.UNPROCESSABLE,
        Does.IN_USE,
        Does.OVERLOADED,
        Does.MAINTENANCE,
        Does.UNAUTHORIZED,
        Does.REDIRECT,
        Does.HTML,
        Does.EMPTY,
        Does.MALFORMED,
        Does.OTHER_KEY,
    }
)
"""Answers to one request after which nothing has happened."""

_ANYWHERE = ODD | {Does.APPROVE, Does.ERROR, Does.HANG}
_REFUNDS = frozenset(
    {Does.REFUSE, Does.REFUND_THEN_ERROR, Does.REFUND_THEN_HANG, Does.REFUND_THEN_REFUSE}
)
POSSIBLE = {
    Operation.CHARGE: frozenset(Does) - _REFUNDS,
    Operation.INQUIRE: _ANYWHERE,
    Operation.VOID: _ANYWHERE,
    Operation.REFUND: _ANYWHERE | _REFUNDS,
}


class Rule(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`times`: how often it applies, None: until it is deleted.

    `customer_id`: the charges that it applies to, None: all. `seconds`: how long slow ones take.
    """

    operation: Operation
    does: Does
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    customer_id: str | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_RULE_SECONDS)] = 1.0


APPROVING = Rule(operation=Operation.CHARGE, does=Does.APPROVE)


class Behaviours:
    """The rules, oldest first. The first one that matches applies."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Raises ValueError when the operation can't do that, and when there are too many rules."""
        if rule.does not in POSSIBLE[rule.operation]:
            able = ", ".join(sorted(POSSIBLE[rule.operation]))
            raise ValueError(f"{rule.operation} can't do {rule.does}; it can: {able}")
        if len(self.rules) >= MAX_RULES:
            raise ValueError(f"there are {MAX_RULES} rules already; DELETE them first")
        self.rules.append(rule)

    def next(self, operation: Operation, customer_id: str | None) -> Rule:
        """The rule that applies now; one with `times` is counted down."""
        for rule in self.rules:
            if rule.operation is operation and rule.customer_id in (None, customer_id):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times == 0:
                        self.rules.remove(rule)
                return rule
        return APPROVING
