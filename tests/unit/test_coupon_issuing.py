"""Defining coupons, and issuing them first come, first served."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coupon.commands import ChangeCoupon, DefineCoupon, IssueCoupon
from coupon.domain import Coupon, DefinitionStatus, DiscountType
from coupon.reactions import reactions
from coupon.unit_of_work import CouponUnitOfWork
from saga.errors import Conflict, Invalid, NotFound
from saga.unit_of_work import Rows

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def empty_unit_of_work() -> CouponUnitOfWork:
    return CouponUnitOfWork(NOW, Rows(), Rows(), Rows(), Rows())


def definition(**terms: object) -> DefineCoupon:
    plain = DefineCoupon(
        coupon_id="d",
        name="off",
        discount_type=DiscountType.FIXED,
        discount_value=10,
        min_order_amount=0,
        quantity=3,
        valid_from=None,
        valid_until=None,
    )
    return msgspec.structs.replace(plain, **terms)


@settings(deadline=None)
@given(st.integers(1, 4), st.lists(st.integers(0, 6), max_size=15))
def test_never_more_issued_than_defined(quantity: int, rush: list[int]) -> None:
    uow = empty_unit_of_work()
    reactions.execute(definition(quantity=quantity), uow)
    uow.release()
    winners = list(dict.fromkeys(rush))[:quantity]
    got: list[int] = []
    for number, customer in enumerate(rush):
        command = IssueCoupon(
            issued_coupon_id=f"i{number}", coupon_id="d", customer_id=f"c{customer}"
        )
        if customer in got or len(got) == quantity:
            with pytest.raises(Conflict) as refused:
                reactions.execute(command, uow)
            uow.roll_back()
            code = "COUPON_ALREADY_ISSUED" if customer in got else "COUPON_EXHAUSTED"
            assert refused.value.code == code
        else:
            result = reactions.execute(command, uow)
            uow.release()
            assert result.events == ()
            assert (result.value.customer_id, result.value.order_id) == (f"c{customer}", None)
            got.append(customer)
        assert uow.coupons["d"].issued == len(got)
    assert got == winners


@pytest.mark.parametrize(
    "terms",
    [
        {"discount_type": DiscountType.RATE, "discount_value": 101},
        {"valid_from": NOW, "valid_until": NOW},
        {"valid_from": NOW + SECOND, "valid_until": NOW},
    ],
)
def test_contradicting_terms_are_refused(terms: dict[str, object]) -> None:
    uow = empty_unit_of_work()
    with pytest.raises(Invalid):
        reactions.execute(definition(**terms), uow)
    uow.release()
    assert uow.coupons.inserted == []


@pytest.mark.parametrize("ends", [NOW, NOW - SECOND])
def test_coupon_that_has_ended_is_not_defined(ends: datetime) -> None:
    with pytest.raises(Invalid) as refused:
        reactions.execute(definition(valid_until=ends), empty_unit_of_work())
    assert refused.value.message == "validUntil: must be in the future"


@pytest.mark.parametrize("ends", [NOW, NOW - SECOND])
def test_expired_coupon_is_not_issued(ends: datetime) -> None:
    uow = empty_unit_of_work()
    reactions.execute(definition(valid_until=NOW + SECOND), uow)
    change(uow, valid_until=ends)
    with pytest.raises(Conflict) as refused:
        reactions.execute(IssueCoupon(issued_coupon_id="i", coupon_id="d", customer_id="c"), uow)
    assert refused.value.code == "COUPON_EXPIRED"


def test_undefined_coupon_is_not_issued() -> None:
    with pytest.raises(NotFound) as refused:
        reactions.execute(
            IssueCoupon(issued_coupon_id="i", coupon_id="d", customer_id="c"), empty_unit_of_work()
        )
    assert refused.value.code == "COUPON_NOT_FOUND"


def test_issued_coupon_keeps_its_terms() -> None:
    uow = empty_unit_of_work()
    terms = {"valid_from": NOW, "valid_until": NOW + SECOND, "min_order_amount": 7}
    reactions.execute(definition(**terms), uow)
    command = IssueCoupon(issued_coupon_id="i", coupon_id="d", customer_id="c")
    issued = reactions.execute(command, uow).value
    assert {name: getattr(issued, name) for name in terms} == terms
    assert (issued.discount_type, issued.discount_value) == (DiscountType.FIXED, 10)
    assert issued.issued_at == NOW


# ---------------------------------------------------------------- management


def issue(uow: CouponUnitOfWork, customer: str) -> None:
    command = IssueCoupon(issued_coupon_id=customer, coupon_id="d", customer_id=customer)
    reactions.execute(command, uow)
    uow.release()


def change(uow: CouponUnitOfWork, **terms: object) -> Coupon:
    command = msgspec.structs.replace(ChangeCoupon(coupon_id="d"), **terms)
    changed: Coupon = reactions.execute(command, uow).value
    uow.release()
    return changed


def test_change_concerns_the_coupons_that_are_issued_later() -> None:
    uow = empty_unit_of_work()
    reactions.execute(definition(quantity=1), uow)
    issue(uow, "before")
    ends = NOW + SECOND
    changed = change(uow, name="more", quantity=2, valid_until=ends)
    assert (changed.name, changed.quantity, changed.issued) == ("more", 2, 1)
    issue(uow, "after")
    assert (uow.issued["before"].valid_until, uow.issued["after"].valid_until) == (None, ends)


def test_stopped_definition_issues_no_more_until_it_is_active_again() -> None:
    uow = empty_unit_of_work()
    reactions.execute(definition(), uow)
    change(uow, status=DefinitionStatus.STOPPED)
    with pytest.raises(Conflict) as refused:
        issue(uow, "c")
    assert refused.value.code == "COUPON_STOPPED"
    change(uow, status=DefinitionStatus.ACTIVE)
    issue(uow, "c")
    assert uow.coupons["d"].issued == 1


@pytest.mark.parametrize("terms", [{"quantity": 1}, {"valid_until": NOW}])
def test_change_that_contradicts_is_refused(terms: dict[str, object]) -> None:
    uow = empty_unit_of_work()
    reactions.execute(definition(quantity=2, valid_from=NOW), uow)
    issue(uow, "a")
    issue(uow, "b")
    with pytest.raises(Invalid):
        change(uow, **terms)


def test_unknown_definition_is_not_changed() -> None:
    with pytest.raises(NotFound):
        change(empty_unit_of_work(), name="x")
