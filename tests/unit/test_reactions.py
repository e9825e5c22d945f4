"""The registry: type hints declare what a reaction handles and emits, and are enforced."""

import pytest

from events.contract import (
    CONTRACT,
    CouponRejected,
    CouponRestored,
    CouponUsed,
    FailReason,
    OrderCreated,
    PaymentFailed,
    StockRestored,
    StockUnavailable,
)
from saga.event import Event
from saga.reactions import OfOthers, Reactions, Result, UndeclaredEvent, WrongHints

ORDER = "11111111-1111-4111-8111-111111111111"


class Things:
    """A unit of work."""


class Ask:
    """A command."""


@pytest.fixture
def reactions() -> Reactions:
    return Reactions("thing", CONTRACT)


def test_hints_declare_handled_and_emitted_events(reactions: Reactions) -> None:
    @reactions.on
    def use(event: OrderCreated, things: Things) -> CouponUsed | CouponRejected | None:
        """Use it."""

    @reactions.compensation
    def undo(event: PaymentFailed | StockUnavailable, things: Things) -> list[CouponRestored]:
        return [CouponRestored(order_id=event.order_id)]

    assert reactions.handles == {OrderCreated, PaymentFailed, StockUnavailable}
    assert reactions.emits == {CouponUsed, CouponRejected, CouponRestored}
    assert reactions.reactions[OrderCreated].purpose == "Use it."
    assert not reactions.reactions[OrderCreated].compensates
    assert reactions.reactions[PaymentFailed].compensates


def test_returned_events_are_emitted(reactions: Reactions) -> None:
    @reactions.on
    def undo(event: PaymentFailed, things: Things) -> CouponRestored | None:
        wanted = event.reason is FailReason.SYSTEM_ERROR
        return CouponRestored(order_id=event.order_id) if wanted else None

    answered = PaymentFailed(order_id=ORDER, reason=FailReason.SYSTEM_ERROR)
    unanswered = PaymentFailed(order_id=ORDER, reason=FailReason.PG_DECLINED)
    assert reactions.react(answered, Things()) == (CouponRestored(order_id=ORDER),)
    assert reactions.react(unanswered, Things()) == ()


def test_undeclared_event_is_refused(reactions: Reactions) -> None:
    @reactions.on
    def undeclared(event: PaymentFailed, things: Things) -> CouponRestored | None:
        return StockUnavailable(  # type: ignore[return-value]
            order_id=event.order_id, reason=event.reason, product_id=ORDER
        )

    with pytest.raises(UndeclaredEvent, match="undeclared emitted StockUnavailable"):
        reactions.react(PaymentFailed(order_id=ORDER, reason=FailReason.PG_DECLINED), Things())


OTHER = "22222222-2222-4222-8222-222222222222"


def test_events_of_other_orders_are_declared_separately(reactions: Reactions) -> None:
    @reactions.on
    def give(
        event: PaymentFailed, things: Things
    ) -> tuple[StockRestored | OfOthers[CouponRestored], ...]:
        restored = StockRestored(order_id=event.order_id, items=())
        return restored, CouponRestored(order_id=OTHER)

    reaction = reactions.reactions[PaymentFailed]
    assert reaction.emits == {StockRestored}
    assert reaction.emits_of_others == {CouponRestored}
    assert reactions.emits == {StockRestored, CouponRestored}
    failed = PaymentFailed(order_id=ORDER, reason=FailReason.PG_DECLINED)
    assert [event.key for event in reactions.react(failed, Things())] == [ORDER, OTHER]


@pytest.mark.parametrize(
    "emitted", [CouponRestored(order_id=ORDER), StockRestored(order_id=OTHER, items=())]
)
def test_event_of_the_wrong_order_is_refused(reactions: Reactions, emitted: Event) -> None:
    @reactions.on
    def mix_up(
        event: PaymentFailed, things: Things
    ) -> tuple[StockRestored | OfOthers[CouponRestored], ...]:
        return (emitted,)  # type: ignore[return-value]

    with pytest.raises(UndeclaredEvent, match="mix_up emitted"):
        reactions.react(PaymentFailed(order_id=ORDER, reason=FailReason.PG_DECLINED), Things())


def test_command_returns_a_result_and_may_emit_events(reactions: Reactions) -> None:
    @reactions.command
    def execute(command: Ask, things: Things) -> Result[int, CouponRestored]:
        return Result(42, CouponRestored(order_id=ORDER))

    assert reactions.result_type(Ask()) is int
    assert reactions.emits == {CouponRestored}
    result = reactions.execute(Ask(), Things())
    assert (result.value, result.events) == (42, (CouponRestored(order_id=ORDER),))
    assert result.cause_id is None


def test_command_without_events_returns_its_result(reactions: Reactions) -> None:
    @reactions.command
    def execute(command: Ask, things: Things) -> str:
        return "done"

    assert reactions.emits == frozenset()
    result = reactions.execute(Ask(), Things())
    assert (result.value, result.events, result.cause_id) == ("done", (), None)


def test_result_of_an_external_call_names_its_cause(reactions: Reactions) -> None:
    @reactions.command
    def execute(command: Ask, things: Things) -> Result[None, CouponRestored]:
        return Result(None, CouponRestored(order_id=ORDER), cause_id="cause")

    result = reactions.execute(Ask(), Things())
    assert (result.events, result.cause_id) == ((CouponRestored(order_id=ORDER),), "cause")


def test_undeclared_event_of_a_command_is_refused(reactions: Reactions) -> None:
    @reactions.command
    def undeclared(command: Ask, things: Things) -> Result[None, CouponRestored]:
        return Result(None, StockRestored(order_id=ORDER, items=()))  # type: ignore[arg-type]

    with pytest.raises(UndeclaredEvent, match="undeclared emitted StockRestored"):
        reactions.execute(Ask(), Things())


def test_second_reaction_to_an_event_is_refused(reactions: Reactions) -> None:
    @reactions.on
    def first(event: PaymentFailed, things: Things) -> None: ...

    def second(event: PaymentFailed, things: Things) -> None: ...

    with pytest.raises(WrongHints, match="two reactions to PaymentFailed"):
        reactions.on(second)


def test_missing_or_invalid_hints_are_refused(reactions: Reactions) -> None:
    def unhinted(event, things) -> None: ...  # type: ignore[no-untyped-def]

    def foreign(event: Things, things: Things) -> None: ...

    def answers(event: PaymentFailed, things: Things) -> int: ...  # type: ignore[empty-body]

    for wrong in (unhinted, foreign, answers):
        with pytest.raises(WrongHints, match=wrong.__name__):
            reactions.on(wrong)
