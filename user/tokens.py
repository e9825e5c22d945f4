"""Access tokens (JWT, RFC 7519, signed with Ed25519) and refresh tokens (random, opaque)."""

import secrets
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import OKPKey

from saga.errors import Unauthorized
from user.commands import not_refreshed
from user.domain import ACCESS_LIFE, Presented, SigningKey, User

ALGORITHM = "Ed25519"
CURVE = {"kty": "OKP", "crv": "Ed25519"}


def new_key() -> tuple[str, str]:
    """A private and a public key, the `d` and the `x` of a JSON Web Key."""
    made = OKPKey.generate_key("Ed25519").as_dict(private=True)
    return str(made["d"]), str(made["x"])


def access_token(user: User, session_id: str, key: SigningKey, now: datetime, issuer: str) -> str:
    """A token that names the user and their roles, for ten minutes."""
    pair: dict[str, str | list[str]] = {"d": key.private_key, "x": key.public_key, **CURVE}
    signing = OKPKey.import_key(pair)
    claims = {
        "iss": issuer,
        "aud": issuer,
        "sub": user.user_id,
        "sid": session_id,
        "roles": user.roles.split(),
        "iat": int(now.timestamp()),
        "exp": int((now + ACCESS_LIFE).timestamp()),
    }
    header = {"alg": ALGORITHM, "kid": key.key_id}
    return jwt.encode(header, claims, signing, algorithms=[ALGORITHM])


def new_secret() -> str:
    """The part of a refresh token that can't be guessed."""
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """What is stored of a secret. It is random, so a quick hash protects it."""
    return sha256(secret.encode()).hexdigest()


def refresh_token(session_id: str, secret: str) -> str:
    return f"{session_id}.{secret}"


def split(token: str) -> tuple[str, str]:
    """Session id and hash of the secret. Raises Unauthorized for what is no refresh token."""
    session_id, _, secret = token.partition(".")
    try:
        return str(UUID(session_id)), hash_of(secret)
    except ValueError:
        raise _invalid() from None


def _invalid() -> Unauthorized:
    error = not_refreshed(Presented.INVALID)
    assert isinstance(error, Unauthorized)
    return error
