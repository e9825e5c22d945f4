"""Access tokens: who a valid one names, and why any other is refused."""

import base64
import hmac
import json
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from chassis.web.access import NOT_SIGNED_IN, SCOPE, Caller
from chassis.web.authentication import CLOCK_SKEW_SECONDS, Authentication, Tokens
from saga.errors import RetryLater, SagaError, Unauthorized

KEY = OKPKey.generate_key("Ed25519")
OTHER = OKPKey.generate_key("Ed25519")
P256 = ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)


class Known:
    """The keys that are trusted, and how often one was looked up."""

    def __init__(self) -> None:
        self.lookups = 0
        self.is_away = False

    async def find(self, key_id: str) -> Key | None:
        self.lookups += 1
        if self.is_away:
            raise RetryLater("the keys can't be read")
        keys: dict[str, Key] = {"k1": KEY, "p256": P256, "rsa": RSA}
        return keys.get(key_id)


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def tokens(known: Known) -> Tokens:
    return Tokens("shop", "shop-api", known)


LIFE_SECONDS = 24 * 3600
"""The tokens below are made when the tests are collected, long before they run."""


def claims(**changes: Any) -> dict[str, Any]:
    """Of a valid token; a change of None leaves the claim out."""
    valid = {"iss": "shop", "aud": "shop-api", "sub": "kim", "roles": ["customer"]}
    found = valid | {"exp": int(time.time()) + LIFE_SECONDS} | changes
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Key = KEY, alg: str = "Ed25519", kid: str | None = "k1", **changes: Any) -> str:
    header = {"alg": alg} | ({"kid": kid} if kid else {})
    return jwt.encode(header, claims(**changes), key, algorithms=[alg])


def without_signature(alg: str, kid: str = "k1") -> str:
    parts = ({"alg": alg, "kid": kid}, claims())
    return ".".join(encoded(json.dumps(part).encode()) for part in parts)


def with_public_key_as_secret(secret: bytes, kid: str = "k1") -> str:
    """An HMAC whose secret is what all can read."""
    token = without_signature("HS256", kid)
    return f"{token}.{encoded(hmac.digest(secret, token.encode(), 'sha256'))}"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def with_other_payload() -> str:
    """The signature of one token below the claims of another."""
    head, _, signature = signed().split(".")
    return ".".join((head, signed(sub="lee").split(".")[1], signature))


@pytest.mark.parametrize(
    "token",
    [
        signed(),
        signed(P256, "ES256", "p256"),
        signed(RSA, "RS256", "rsa"),
        signed(aud=["other", "shop-api"]),
    ],
)
async def test_valid_token_names_its_user_and_their_roles(tokens: Tokens, token: str) -> None:
    assert await tokens.caller(token) == Caller("kim", frozenset({"customer"}))


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
async def test_older_name_of_the_algorithm_is_known(tokens: Tokens) -> None:
    assert (await tokens.caller(signed(alg="EdDSA"))).user_id == "kim"


async def test_agent_acts_for_all(known: Known) -> None:
    tokens = Tokens("shop", "shop-api", known, agents=("shopkeeper",))
    assert (await tokens.caller(signed(roles=["shopkeeper", "other"]))).owns("lee")
    assert not (await tokens.caller(signed(roles=["operator"]))).owns("lee")


async def test_token_without_roles_has_none(tokens: Tokens) -> None:
    assert await tokens.caller(signed(roles=None)) == Caller("kim", frozenset())


@pytest.mark.parametrize(
    "token",
    [
        without_signature("none") + ".",
        without_signature("None") + ".",
        without_signature("Ed25519") + ".",
        with_public_key_as_secret(KEY.as_pem(private=False)),
        with_public_key_as_secret(str(KEY.as_dict(private=False)["x"]).encode()),
        with_other_payload(),
        signed(OTHER),
        signed(kid=None),
        signed(kid="unknown"),
        signed(P256, "ES256", "k1"),
        signed(KEY, kid="p256"),
        signed(RSA, "RS512", "rsa"),
        with_public_key_as_secret(RSA.as_pem(private=False), "rsa"),
        signed(iss="another-shop"),
        signed(iss=None),
        signed(aud="another-api"),
        signed(aud=[]),
        signed(aud=None),
        signed(sub=None),
        signed(sub=7),
        signed(exp=None),
        signed(exp="soon"),
        signed(roles="customer"),
        signed() + "x",
        signed()[:-9],
        "a.b.c",
        "a.b",
        "x",
        "é.é.é",
        "e30.e30.e30",
        "." * 5000,
        signed(name="x" * 5000),
    ],
)
async def test_any_other_token_is_invalid(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await tokens.caller(token)
    assert refused.value.code == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "head",
    [
        "[" * 2000,
        '{"a":' * 500,
        *("[]", "7", "null", '"k1"'),
        *('{"kid": "k1"}', '{"kid": ["k1"]}', '{"kid": 1e999}'),
        *('{"alg": 1, "kid": "k1"}', '{"alg": ["none"], "kid": "k1"}'),
        '{"alg": "Ed25519", "kid": "k1", "crit": 1}',
        '{"alg": "Ed25519", "kid": "k1", "crit": ["b64"], "b64": false}',
        '{"alg": "Ed25519", "kid": "../../etc/passwd"}',
        '{"alg": "Ed25519", "kid": "http://attacker.test/key"}',
        '{"alg": "Ed25519", "kid": "\\ud800"}',
    ],
)
async def test_odd_header_of_a_token_is_invalid(tokens: Tokens, head: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await tokens.caller(f"{encoded(head.encode())}.e30.{encoded(bytes(64))}")
    assert refused.value.code == "TOKEN_INVALID"


@pytest.mark.parametrize("name", ["jwk", "jku", "x5c", "x5u"])
async def test_key_that_a_token_brings_along_is_not_used(tokens: Tokens, name: str) -> None:
    brought: dict[str, Any] = {
        "jwk": OTHER.as_dict(private=False),
        "jku": "http://attacker.test/jwks",
        "x5c": [encoded(OTHER.as_der(private=False))],
        "x5u": "http://attacker.test/certificate",
    }
    header = {"alg": "Ed25519", "kid": "k1", name: brought[name]}
    token = jwt.encode(header, claims(), OTHER, algorithms=["Ed25519"])
    with pytest.raises(Unauthorized) as refused:
        await tokens.caller(token)
    assert refused.value.code == "TOKEN_INVALID"


async def found_by(tokens: Tokens, ops_token: str | None, **sent: Any) -> Caller | SagaError:
    """The caller that the authentication puts into the scope of a GET."""
    scope: Any = {"type": "http", "method": "GET", "headers": [], "query_string": b""} | sent

    async def application(*_: object) -> Any:
        """A route that is not asked."""

    await Authentication(application, tokens, ops_token)(scope, application, application)
    found: Caller | SagaError = scope[SCOPE]
    return found


async def test_token_in_the_query_string_signs_nobody_in(tokens: Tokens) -> None:
    query = f"access_token={signed()}&token={signed()}".encode()
    assert await found_by(tokens, None, query_string=query) == NOT_SIGNED_IN


async def test_operators_token_is_compared_in_constant_time(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    headers = [(b"authorization", b"Bearer s3cret")]
    found = await found_by(tokens, "s3cret", headers=headers)
    assert isinstance(found, Caller)
    assert found.operates
    assert compared == [(b"s3cret", b"s3cret")]
    for wrong in (b"Bearer s3cre", b"Bearer s3cret\xe9", b"Bearer ", b"Basic s3cret"):
        refused = await found_by(tokens, "s3cret", headers=[(b"authorization", wrong)])
        assert not (isinstance(refused, Caller) and refused.operates)


async def test_clocks_may_differ_by_half_a_minute(tokens: Tokens) -> None:
    now = int(time.time())
    caller = Caller("kim", frozenset({"customer"}))
    assert await tokens.caller(signed(exp=now - CLOCK_SKEW_SECONDS + 10)) == caller
    assert await tokens.caller(signed(nbf=now + CLOCK_SKEW_SECONDS - 10)) == caller
    with pytest.raises(Unauthorized) as refused:
        await tokens.caller(signed(nbf=now + CLOCK_SKEW_SECONDS + 60))
    assert refused.value.code == "TOKEN_INVALID"


async def test_token_expires_also_while_it_is_remembered(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed()
    await tokens.caller(token)
    later = time.time() + LIFE_SECONDS + CLOCK_SKEW_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Unauthorized) as refused:
        await tokens.caller(token)
    assert refused.value.code == "TOKEN_EXPIRED"


async def test_expired_token_of_another_key_is_invalid(tokens: Tokens) -> None:
    with pytest.raises(Unauthorized) as refused:
        await tokens.caller(signed(OTHER, exp=1))
    assert refused.value.code == "TOKEN_INVALID"


async def test_valid_token_is_checked_once(tokens: Tokens, known: Known) -> None:
    token = signed()
    await tokens.caller(token)
    known.is_away = True
    await tokens.caller(token)
    assert known.lookups == 1
    with pytest.raises(RetryLater):
        await tokens.caller(signed(sub="lee"))
