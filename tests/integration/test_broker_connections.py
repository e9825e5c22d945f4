"""Connections to the broker: several servers, every kind of credentials, TLS, and lost ones."""

import asyncio
import base64
import json
import logging
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nkeys
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from chassis.broker.access import connect_options
from chassis.broker.jetstream import JetStream
from chassis.broker.nats_client import NatsClient
from chassis.settings import broker_settings
from infra.stack import broker
from payment.reactions import reactions
from tests.integration.conftest import NatsServer
from tests.kit.client import free_port, wait_until
from tests.kit.settings import settings_of

USERS = "authorization { users: [{ user: me, password: secret }] }"


@asynccontextmanager
async def running(*servers: NatsServer) -> AsyncIterator[None]:
    async with AsyncExitStack() as started:
        for server in servers:
            started.push_async_callback(server.stop)
            await server.start()
        yield


def server_with(folder: Path, conf: str, *options: str) -> NatsServer:
    folder.mkdir(exist_ok=True)
    (folder / "nats.conf").write_text(conf)
    return NatsServer(folder / "store", "-c", str(folder / "nats.conf"), *options)


def address(server: NatsServer, credentials: str = "me:secret", scheme: str = "nats") -> str:
    return f"{scheme}://{credentials}@{server.url.removeprefix('nats://')}"


@asynccontextmanager
async def connected(**environment: str) -> AsyncIterator[Client]:
    """A client as a service is: it tries for ever."""
    client = NatsClient()
    await client.connect(
        **connect_options(broker_settings(environment)),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.1,  # type: ignore[arg-type]  # takes fractions
        ping_interval=1,
        dont_randomize=True,
        error_cb=ignore,
    )
    try:
        yield client
    finally:
        await client.close()


async def ignore(error: Exception) -> None:
    del error


async def until_connected(client: Client, server: NatsServer) -> None:
    async def is_there() -> bool:
        url = client.connected_url
        return url is not None and url.netloc == server.url.removeprefix("nats://")

    await wait_until(is_there, f"the client is connected to {server.url}", 15)


def cluster(folder: Path, count: int) -> list[NatsServer]:
    ports = [free_port() for _ in range(count)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    return [
        server_with(
            folder / str(port),
            USERS,
            *("-n", str(port), "--cluster_name", "test"),
            *("--cluster", f"nats://127.0.0.1:{port}", "--routes", routes),
        )
        for port in ports
    ]


async def test_client_moves_to_a_server_that_only_the_cluster_names(tmp_path: Path) -> None:
    first, second, third = cluster(tmp_path, 3)
    async with running(first, second, third), connected(NATS_URL=address(first)) as client:

        async def knows_all() -> bool:
            return len(client.servers) >= 3

        await wait_until(knows_all, "the client knows all servers")
        await first.stop()
        await second.stop()
        await until_connected(client, third)


async def test_client_starts_while_most_of_its_servers_are_away(tmp_path: Path) -> None:
    away, server = NatsServer(tmp_path), server_with(tmp_path / "2", USERS)
    url = f"{address(away)},{server.url}"
    async with running(server):
        async with connected(NATS_URL=url) as client:
            await until_connected(client, server)
        async with broker.connected(broker_settings({"NATS_URL": url})) as client:
            await until_connected(client, server)
    with pytest.raises(ConnectionRefusedError):
        async with broker.connected(broker_settings({"NATS_URL": url})):
            pytest.fail("no server runs")


async def test_client_moves_away_from_a_server_that_hangs_with_much_to_be_sent(
    tmp_path: Path,
) -> None:
    """Fails with nats-py alone: it waits for the kernel's time-out of a quarter of an hour."""
    first, second = (server_with(tmp_path / str(number), USERS) for number in (1, 2))
    url = f"{address(first)},{second.url}"
    async with running(first, second), connected(NATS_URL=url) as client:
        await until_connected(client, first)
        with first.hanging():
            sending = asyncio.create_task(_send(client, 20_000_000))
            await until_connected(client, second)
        sending.cancel()


async def _send(client: Client, size_bytes: int) -> None:
    for _ in range(size_bytes // 1000):
        await client.publish("subject", bytes(1000))


@pytest.mark.parametrize(
    ("authorization", "credentials"), [("token: word", "word"), ("user: me, password: s", "me:s")]
)
async def test_token_or_password_from_the_url(
    tmp_path: Path, authorization: str, credentials: str
) -> None:
    server = server_with(tmp_path / "1", f"authorization {{ {authorization} }}")
    async with running(server), connected(NATS_URL=address(server, credentials)) as client:
        await client.flush()


async def test_nkey_from_a_file(tmp_path: Path) -> None:
    user = new_key(nkeys.PREFIX_BYTE_USER)
    server = server_with(tmp_path / "1", f"authorization {{ users: [{{ nkey: {name(user)} }}] }}")
    seed = tmp_path / "user.nk"
    seed.write_bytes(bytes(user.seed) + b"\n")
    async with running(server), connected(NATS_URL=server.url, NATS_NKEY=str(seed)) as client:
        await client.flush()


async def test_client_outlives_its_credentials_file(tmp_path: Path) -> None:
    """The file is replaced before its JWT expires. nats-py alone closes for good at the expiry."""
    account, user = new_key(nkeys.PREFIX_BYTE_ACCOUNT), new_key(nkeys.PREFIX_BYTE_USER)
    server = server_with(tmp_path / "1", operator_mode(account))
    creds = tmp_path / "user.creds"
    creds.write_text(credentials_file(account, user, expires=int(time.time()) + 2))
    async with (
        running(server),
        connected(NATS_URL=server.url, NATS_CREDS=str(creds)) as client,
    ):
        await client.flush()
        creds.write_text(credentials_file(account, user, expires=int(time.time()) + 600))

        async def has_reconnected() -> bool:
            return client.stats["reconnects"] == 1 and client.is_connected

        await wait_until(has_reconnected, "the client is connected with the new file")
        await client.flush()


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = server_with(
        tmp_path / "1",
        f'{USERS}\ntls {{ cert_file: "{certificate}", key_file: "{key}", '
        f'ca_file: "{certificate}", verify: true }}',
    )
    files = {"NATS_CA": certificate, "NATS_CERT": certificate, "NATS_KEY": key}
    async with running(server):
        async with connected(NATS_URL=address(server, scheme="tls"), **files) as client:
            await client.flush()
        without = broker_settings({"NATS_URL": address(server, scheme="tls")})
        with pytest.raises(ssl.SSLError):
            async with broker.connected(without):
                pytest.fail("its authority is unknown")


async def test_password_is_not_sent_in_plain_text_where_tls_is_required(tmp_path: Path) -> None:
    """Fails with nats-py alone: a `tls://` server without TLS gets the password."""
    server = server_with(tmp_path / "1", USERS)
    settings = broker_settings({"NATS_URL": address(server, scheme="tls")})
    async with running(server):
        with pytest.raises(NatsError, match="offers no TLS") as refused:
            async with broker.connected(settings):
                pytest.fail("it is connected without TLS")
    assert not isinstance(refused.value, NoServersError)


async def test_outage_of_some_seconds_is_three_log_lines(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "chassis")
    jetstream = JetStream(reactions, settings_of("payment", {"NATS_URL": nats_server.url}))

    async def verify() -> None: ...

    await jetstream.start(lambda _: None, lambda: 100, verify)
    await asyncio.wait_for(jetstream.wait_connected(), 10)
    await nats_server.stop()

    async def is_away() -> bool:
        return not jetstream.connected

    await wait_until(is_away, "the broker is away")
    await asyncio.sleep(2)  # of attempts, four a second
    await nats_server.start()
    await asyncio.wait_for(jetstream.wait_connected(), 10)
    await jetstream.stop_delivering()
    await jetstream.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "connected to the broker",
        "outage of the broker began",
        "outage of the broker ended",
        "connected to the broker",
    ]


def new_key(kind: int) -> nkeys.KeyPair:
    return nkeys.from_seed(bytearray(nkeys.encode_seed(os.urandom(32), kind)))


def operator_mode(account: nkeys.KeyPair) -> str:
    """The configuration of a server whose users have JWTs of this account."""
    operator, system = new_key(nkeys.PREFIX_BYTE_OPERATOR), new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    unlimited = dict.fromkeys(("subs", "data", "payload", "conn", "imports", "exports"), -1)
    claims = {"type": "account", "limits": unlimited | {"wildcards": True}}
    preloaded = [f"{name(each)}: {token(each, operator, claims)}" for each in (account, system)]
    return "\n".join(
        [
            f"operator: {token(operator, operator, {'type': 'operator'})}",
            f"system_account: {name(system)}",
            "resolver: MEMORY",
            f"resolver_preload: {{ {', '.join(preloaded)} }}",
        ]
    )


def name(key: nkeys.KeyPair) -> str:
    return str(key.public_key.decode())


def credentials_file(account: nkeys.KeyPair, user: nkeys.KeyPair, expires: int) -> str:
    claims = {"type": "user", "subs": -1, "data": -1, "payload": -1}
    return "\n".join(
        [
            "-----BEGIN NATS USER JWT-----",
            token(user, account, claims, exp=expires),
            "------END NATS USER JWT------",
            "-----BEGIN USER NKEY SEED-----",
            bytes(user.seed).decode(),
            "------END USER NKEY SEED------",
            "",
        ]
    )


def token(
    subject: nkeys.KeyPair, issuer: nkeys.KeyPair, claims: dict[str, Any], **more: int
) -> str:
    """A JWT as nats-server reads it (ADR-14)."""
    names = {"sub": name(subject), "iss": name(issuer)}
    body = names | {"iat": int(time.time()), "nats": claims | {"version": 2}} | more
    parts = _encoded([{"typ": "JWT", "alg": "ed25519-nkey"}, body])
    signature = base64.urlsafe_b64encode(issuer.sign(parts.encode())).decode().rstrip("=")
    return f"{parts}.{signature}"


def _encoded(parts: Sequence[dict[str, Any]]) -> str:
    encoded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(each.rstrip("=") for each in encoded)


def self_signed(folder: Path) -> tuple[str, str]:
    """A certificate for this machine and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [*made, *names, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
