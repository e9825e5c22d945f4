"""Authentication: the caller of a request, by its access token or the operators' token.

Access tokens are JWTs (RFC 7519, profile RFC 9068) signed with Ed25519, or by a provider with ES256
or RS256. No call is made
for one: the keys are there already (`chassis/web/keys.py`).
"""

import hmac
import time
from collections import OrderedDict
from collections.abc import Collection
from typing import Any, Protocol

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key
from litestar.datastructures import Cookie
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from chassis.web.access import (
    NOT_SIGNED_IN,
    OPERATOR,
    READER,
    SCOPE,
    TRUSTED,
    TRUSTED_CLIENT,
    Caller,
)
from saga.errors import RetryLater, SagaError, Unauthorized

ALGORITHMS = ["Ed25519", "EdDSA", "ES256", "RS256"]
"""Asymmetric alone: a public key can't be taken for a shared secret."""

CLOCK_SKEW_SECONDS = 30
MAX_REMEMBERED = 20_000
MAX_TOKEN_LENGTH = 4096
COOKIE, COOKIE_PATH = "access_token", "/api/v1"
_MACHINE = Caller(None, frozenset({READER, OPERATOR}))


class Claims(msgspec.Struct):
    """What a token must say. `exp` in seconds since 1970."""

    iss: str
    aud: str | list[str]
    sub: str
    exp: float
    nbf: float = 0.0
    roles: list[str] = []


class Keys(Protocol):
    """The public keys whose tokens are trusted."""

    async def find(self, key_id: str) -> Key | None:
        """The key of this id. Raises Outage while none can be asked for."""


class Tokens:
    """Checks access tokens. Those that are valid are remembered until they expire.

    `agents`: the roles whose holders may act for any user.
    """

    def __init__(
        self, issuer: str, audience: str, keys: Keys, agents: Collection[str] = ()
    ) -> None:
        self._issuer, self._audience, self._keys = issuer, audience, keys
        self._agents = frozenset(agents)
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    async def caller(self, token: str) -> Caller:
        """Raises Unauthorized, TOKEN_EXPIRED or TOKEN_INVALID."""
        caller, expires_at = self._known.get(token) or await self._check(token)
        if time.time() > expires_at + CLOCK_SKEW_SECONDS:
            self._known.pop(token, None)
            raise Unauthorized("the access token has expired; refresh it", code="TOKEN_EXPIRED")
        return caller

    async def _check(self, token: str) -> tuple[Caller, float]:
        claims = await self._verified(token)
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        is_early = claims.nbf > time.time() + CLOCK_SKEW_SECONDS
        if claims.iss != self._issuer or self._audience not in audiences or is_early:
            raise _invalid("it is for another audience, of another issuer, or not valid yet")
        roles = frozenset(claims.roles)
        caller = Caller(claims.sub, roles, acts_for_all=bool(roles & self._agents))
        found = caller, claims.exp
        self._known[token] = found
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _verified(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid("it is too long")
        try:
            key_id = jws.extract_compact(token.encode()).headers().get("kid")
            key = await self._keys.find(key_id) if isinstance(key_id, str) else None
            if key is None:
                raise _invalid("its key is unknown")
            decoded = jwt.decode(token, key, algorithms=ALGORITHMS)
            return msgspec.convert(decoded.claims, Claims)
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _invalid(str(error)) from error


def _invalid(reason: str) -> Unauthorized:
    return Unauthorized(f"the access token can't be used: {reason}", code="TOKEN_INVALID")


class Authentication:
    """ASGI middleware: puts the caller into the scope. Without `tokens` all are trusted.

    `ops_token`: a machine that sends it is an operator; where it is set, others are none.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens | None, ops_token: str | None) -> None:
        self._app = app
        self._tokens = tokens
        self._ops_token = ops_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found: Any = scope
        if scope["type"] == ScopeType.HTTP:
            found[SCOPE] = await self._caller_or_error(scope)
        await self._app(scope, receive, send)

    async def _caller_or_error(self, scope: Scope) -> Caller | SagaError:
        """An error matters on a route that is not public, and is raised there."""
        if self._tokens is None and self._ops_token is None:
            return TRUSTED
        sent = _bearer(scope)
        if self._is_operators(sent):
            return _MACHINE if self._tokens else TRUSTED
        if self._tokens is None:
            return TRUSTED_CLIENT
        if sent is None and scope.get("method") in ("GET", "HEAD"):
            sent = _cookie(scope)
        try:
            return await self._tokens.caller(sent) if sent else NOT_SIGNED_IN
        except (Unauthorized, RetryLater) as error:
            return error

    def _is_operators(self, sent: str | None) -> bool:
        return bool(sent and self._ops_token) and hmac.compare_digest(
            str(sent).encode(), str(self._ops_token).encode()
        )


def _header(scope: Scope, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")


def _bearer(scope: Scope) -> str | None:
    scheme, _, token = _header(scope, b"authorization").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _cookie(scope: Scope) -> str | None:
    """Cookies of other programs on the same host, whatever they hold, stand beside it."""
    for each in _header(scope, b"cookie").split(";"):
        name, _, value = each.partition("=")
        if name.strip() == COOKIE:
            return value.strip() or None
    return None


def cookie(token: str, max_age_seconds: int, *, secure: bool) -> Cookie:
    """The access token for a browser, whose scripts can't read it; empty to take it away.

    It goes to the API's own pages alone (SameSite=Strict), and signs GET requests in.
    """
    return Cookie(
        COOKIE,
        value=token,
        max_age=max_age_seconds,
        path=COOKIE_PATH,
        httponly=True,
        samesite="strict",
        secure=secure,
    )
