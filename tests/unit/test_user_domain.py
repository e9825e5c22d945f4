"""Accounts, sessions, signing keys and the delays after wrong passwords."""

from datetime import UTC, datetime, timedelta

import pytest

from events.contract import SigningKeyPublished, UserRegistered
from saga.errors import Conflict, Invalid, TooManyRequests, Unauthorized
from saga.unit_of_work import Rows
from user import tries as module_of_tries
from user.commands import (
    AddKey,
    BeginSession,
    ChangePassword,
    EndSession,
    Refreshed,
    RefreshSession,
    RegisterUser,
)
from user.domain import (
    ACCESS_LIFE,
    KEY_LEAD,
    RACE,
    SESSION_LIFE,
    Presented,
    SessionState,
    SigningKey,
    User,
    check_password,
    normal_email,
)
from user.reactions import reactions
from user.sign_ins import SignIns
from user.tries import FREE_FOR_ADDRESS, Tries
from user.unit_of_work import UserUnitOfWork

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


@pytest.fixture
def uow() -> UserUnitOfWork:
    return UserUnitOfWork(NOW, Rows(), Rows(), Rows(), Rows())


def sign_up(uow: UserUnitOfWork, user_id: str = "u", email: str = "a@shop.test") -> User:
    command = RegisterUser(
        user_id=user_id, email=email, name="A", password_hash="h", roles="customer"
    )
    result = reactions.execute(command, uow)
    assert result.events == (UserRegistered(user_id=user_id),)
    uow.release()
    assert isinstance(result.value, User)
    return result.value


def sign_in(uow: UserUnitOfWork, session_id: str = "s") -> None:
    command = BeginSession(session_id=session_id, user_id="u", password_hash="h", token_hash="1")
    reactions.execute(command, uow)
    uow.release()


def refresh(uow: UserUnitOfWork, presented: str, new: str, session_id: str = "s") -> Presented:
    command = RefreshSession(session_id=session_id, presented_hash=presented, token_hash=new)
    refreshed = reactions.execute(command, uow).value
    uow.release()
    assert isinstance(refreshed, Refreshed)
    assert (refreshed.user is not None) == (refreshed.presented is Presented.NEWEST)
    return refreshed.presented


def test_address_is_registered_once(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    with pytest.raises(Conflict, match="sign in"):
        sign_up(uow, "other")


@pytest.mark.parametrize(
    ("text", "normal"),
    [("A@Shop.Test", "a@shop.test"), ("STRASSE@x", "strasse@x"), ("straße@x", "strasse@x")],
)
def test_spellings_of_one_address_are_equal(text: str, normal: str) -> None:
    assert normal_email(text) == normal


@pytest.mark.parametrize("text", ["", "a", "@b", "a@", "a b@c", "a@b@c", "a@b\n", "a\0@b"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="email"):
        normal_email(text)


@pytest.mark.parametrize(
    "password",
    ["1234567", "x" * 129, "Password1", "zzzzzzzz", "min-jun1", "A@shop.test", "PASSWORD"],
)
def test_weak_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_password(password, "a@shop.test", "Min-Jun1")
    assert refused.value.code == "WEAK_PASSWORD"


def test_password_may_be_a_sentence_in_any_script() -> None:
    check_password("빨간 우산 일곱 개", "a@shop.test", "Kim")


def test_each_refresh_token_is_used_once(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    sign_in(uow)
    assert refresh(uow, "1", "2") is Presented.NEWEST
    assert refresh(uow, "2", "3") is Presented.NEWEST
    assert refresh(uow, "2", "4") is Presented.JUST_REPLACED
    assert refresh(uow, "3", "4") is Presented.NEWEST


def test_second_use_after_the_race_ends_the_session(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    sign_in(uow)
    refresh(uow, "1", "2")
    uow.now = NOW + RACE + timedelta(seconds=1)
    assert refresh(uow, "1", "3") is Presented.REUSED
    assert refresh(uow, "2", "3") is Presented.INVALID


def test_token_older_than_the_replaced_one_ends_the_session_at_once(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    sign_in(uow)
    refresh(uow, "1", "2")
    refresh(uow, "2", "3")
    assert refresh(uow, "1", "4") is Presented.REUSED
    assert uow.sessions["s"].state is SessionState.ENDED


def test_session_ends_when_it_is_not_used_for_a_month(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    sign_in(uow)
    uow.now = NOW + SESSION_LIFE + timedelta(seconds=1)
    assert refresh(uow, "1", "2") is Presented.INVALID


def test_sign_out_needs_a_token_of_the_session(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    sign_in(uow)
    reactions.execute(EndSession(session_id="s", presented_hash="forged"), uow)
    uow.release()
    assert refresh(uow, "1", "2") is Presented.NEWEST
    reactions.execute(EndSession(session_id="s", presented_hash="2"), uow)
    uow.release()
    assert refresh(uow, "2", "3") is Presented.INVALID


def test_new_password_ends_the_other_sessions(uow: UserUnitOfWork) -> None:
    sign_up(uow)
    sign_in(uow, "kept")
    sign_in(uow, "other")
    change = ChangePassword(user_id="u", password_hash="h", new_hash="new", kept_session_id="kept")
    reactions.execute(change, uow)
    uow.release()
    assert refresh(uow, "1", "2", "kept") is Presented.NEWEST
    assert refresh(uow, "1", "2", "other") is Presented.INVALID
    with pytest.raises(Unauthorized):
        sign_in(uow, "late")  # its password was checked before the change
    uow.roll_back()
    with pytest.raises(Unauthorized):
        reactions.execute(change, uow)


def add_key(uow: UserUnitOfWork, key_id: str) -> SigningKey | None:
    command = AddKey(key_id=key_id, private_key="d", public_key="x", signs_seconds=3600)
    result = reactions.execute(command, uow)
    uow.release()
    key = result.value
    assert key is None or isinstance(key, SigningKey)
    events = result.events
    if key is None:
        assert events == ()
    else:
        published = SigningKeyPublished(
            key_id=key_id, public_key="x", trusted_until=key.trusted_until
        )
        assert events == (published,)
    return key


def test_key_takes_over_while_the_one_before_it_still_signs(uow: UserUnitOfWork) -> None:
    first = add_key(uow, "1")
    assert first is not None
    assert first.signs(NOW)
    assert add_key(uow, "2") is None
    uow.now = NOW + timedelta(hours=1)
    second = add_key(uow, "2")
    assert second is not None
    assert not second.signs(uow.now)
    assert second.signs(uow.now + KEY_LEAD)
    assert first.signs(uow.now + KEY_LEAD)
    assert first.trusted_until == first.signs_until + ACCESS_LIFE


def test_key_after_a_long_pause_signs_at_once(uow: UserUnitOfWork) -> None:
    add_key(uow, "1")
    uow.now = NOW + timedelta(days=1)
    late = add_key(uow, "2")
    assert late is not None
    assert late.signs(uow.now)


def test_delay_doubles_with_each_wrong_password() -> None:
    tries, now = Tries(free=2), NOW
    for expected_seconds in (0, 1, 2, 4, 8):
        tries.failed("a", now)
        if expected_seconds:
            with pytest.raises(TooManyRequests) as refused:
                tries.check("a", now)
            assert refused.value.retry_after_seconds == expected_seconds
        now += timedelta(seconds=expected_seconds)
        tries.check("a", now)
    tries.check("b", NOW)


def test_success_and_time_end_the_delay() -> None:
    tries = Tries(free=1)
    tries.failed("a", NOW)
    tries.succeeded("a")
    tries.check("a", NOW)
    for _ in range(30):
        tries.failed("b", NOW)
    with pytest.raises(TooManyRequests) as refused:
        tries.check("b", NOW)
    assert refused.value.retry_after_seconds == 15 * 60
    tries.check("b", NOW + timedelta(minutes=15))
    tries.failed("b", NOW + timedelta(hours=2))
    tries.check("b", NOW + timedelta(hours=2, seconds=1))


def test_memory_of_wrong_passwords_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stay. Who fills it needs as many failures, so as many hashes."""
    monkeypatch.setattr(module_of_tries, "MAX_REMEMBERED", 100)
    tries = Tries(free=1)
    for number in range(1_000):
        tries.failed(f"{number}@shop.test", NOW)
    for number in range(1_000):
        remembered = number >= 900
        try:
            tries.check(f"{number}@shop.test", NOW)
        except TooManyRequests:
            assert remembered, number
        else:
            assert not remembered, number


@pytest.mark.parametrize(
    ("used", "other", "is_same"),
    [
        ("203.0.113.1", "203.0.113.1", True),
        ("203.0.113.1", "203.0.113.2", False),
        ("203.0.113.1", "::ffff:203.0.113.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "unix", False),
    ],
)
def test_addresses_of_one_client_wait_together(used: str, other: str, is_same: bool) -> None:
    sign_ins = SignIns()
    for number in range(FREE_FOR_ADDRESS):
        sign_ins.failed(f"{number}@shop.test", used, NOW)
    try:
        sign_ins.check("kim@shop.test", other, NOW)
    except TooManyRequests:
        assert is_same
    else:
        assert not is_same
