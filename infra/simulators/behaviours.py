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
    LAND_LATE            charge: 504 at once, unknown to inquiries, captured after `seconds` unless
                         it was voided by then
    LAND_AFTER_VOID      charge: the same with a broken fence: it lands although it was voided
    ANSWER_TWICE         charge: captured, and the HTTP answer written twice
    REFUND_THEN_ERROR    refund: given back, and 500
    REFUND_THEN_HANG     refund: given back, and no answer for `seconds`
    """

    APPROVE = "APPROVE"
    DECLINE = "DECLINE"
    REFUSE = "REFUSE"
    ERROR = "ERROR"
    HANG = "HANG"
    CAPTURE_THEN_ERROR = "CAPTURE_THEN_ERROR"
    CAPTURE_THEN_HANG = "CAPTURE_THEN_HANG"
    LAND_LATE = "LAND_LATE"
    LAND_AFTER_VOID = "LAND_AFTER_VOID"
    ANSWER_TWICE = "ANSWER_TWICE"
    REFUND_THEN_ERROR = "REFUND_THEN_ERROR"
    REFUND_THEN_HANG = "REFUND_THEN_HANG"


_ANYWHERE = frozenset({Does.APPROVE, Does.ERROR, Does.HANG})
_REFUNDS = frozenset({Does.REFUSE, Does.REFUND_THEN_ERROR, Does.REFUND_THEN_HANG})
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
