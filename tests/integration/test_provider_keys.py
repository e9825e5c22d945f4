"""The keys of an OpenID Connect provider, read from a real HTTP server."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from chassis.web import keys
from chassis.web.keys import ProviderKeys
from saga.errors import RetryLater
from tests.kit.stack import free_port


class Provider:
    """A provider that answers with this, and counts its requests."""

    def __init__(self) -> None:
        self.answer: object = {"keys": []}
        self.status = 200
        self.requests = 0
        self.url = f"http://127.0.0.1:{free_port()}/jwks"

    async def respond(self, _: web.Request) -> web.Response:
        self.requests += 1
        if isinstance(self.answer, bytes):
            return web.Response(body=self.answer, status=self.status)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    found = Provider()
    application = web.Application()
    application.router.add_get("/jwks", found.respond)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(found.url.split(":")[2].split("/")[0])).start()
    yield found
    await runner.cleanup()


@pytest.fixture
async def known(provider: Provider) -> AsyncIterator[ProviderKeys]:
    found = ProviderKeys(provider.url)
    yield found
    await found.close()


ED25519 = OKPKey.generate_key("Ed25519", {"kid": "ed"})
P256 = ECKey.generate_key("P-256", {"kid": "ec"})


def public(*each: OKPKey | ECKey | RSAKey) -> object:
    return {"keys": [key.as_dict(private=False) for key in each]}


async def test_asymmetric_keys_are_found_by_id(provider: Provider, known: ProviderKeys) -> None:
    provider.answer = public(ED25519, P256)
    found = await known.find("ed")
    assert found is not None
    assert found.as_dict(private=False)["x"] == ED25519.as_dict()["x"]
    assert await known.find("ec") is not None
    assert provider.requests == 1


async def test_keys_that_can_not_be_used_are_left_out(
    provider: Provider, known: ProviderKeys
) -> None:
    secret = OctKey.generate_key(256, {"kid": "secret"}).as_dict(private=True)
    unusable: list[object] = [
        secret,
        {"kty": "AKP", "kid": "of-the-future", "alg": "ML-DSA-65", "pub": "AA"},
        {"kty": "EC", "kid": "broken", "crv": "P-256"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "kid": "short", "crv": "Ed25519", "x": "AA"},
    ]
    provider.answer = {"keys": [*unusable, ED25519.as_dict(private=False)]}
    for key_id in ("secret", "of-the-future", "broken", "short"):
        assert await known.find(key_id) is None
    assert await known.find("ed") is not None


async def test_unknown_key_is_asked_for_again_after_a_while_only(
    provider: Provider, known: ProviderKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.answer = public(P256)
    for _ in range(5):
        assert await known.find("ed") is None
    assert provider.requests == 1
    provider.answer = public(ED25519)
    monkeypatch.setattr(keys, "PROVIDER_REREAD_SECONDS", 0)
    assert await known.find("ed") is not None


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        *((500, {}), (200, []), (200, {"keys": 7})),
        pytest.param(200, b'{"keys": []}' + b" " * keys.MAX_KEY_SET_BYTES, id="too long"),
        pytest.param(200, b'{"keys": [{"a": ' + b"[" * 100_000, id="nested too deeply"),
        pytest.param(200, b"\xff\xfe", id="not UTF-8"),
        pytest.param(302, {}, id="a redirect"),
    ],
)
async def test_provider_without_a_key_set_is_an_outage_and_known_keys_stay(
    provider: Provider,
    known: ProviderKeys,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    answer: object,
) -> None:
    provider.answer = public(ED25519)
    assert await known.find("ed") is not None
    monkeypatch.setattr(keys, "PROVIDER_REREAD_SECONDS", 0)
    provider.status, provider.answer = status, answer
    with pytest.raises(RetryLater):
        await known.find("another")
    assert await known.find("ed") is not None
