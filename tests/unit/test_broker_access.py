"""How clients connect to the broker: what becomes of NATS_URL and its companions."""

import ssl

import pytest

from chassis.broker.access import connect_options
from chassis.settings import broker_settings
from saga.errors import ConfigurationError


def options(**environment: str) -> dict[str, object]:
    return connect_options(broker_settings(environment))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", {"servers": ["nats://127.0.0.1:4222"]}),
        ("broker", {"servers": ["nats://broker"]}),
        ("nats://a:1, nats://b:2", {"servers": ["nats://a:1", "nats://b:2"]}),
        (
            "nats://order:secret@a:1,nats://b:2,nats://order:secret@[::1]:3",
            {
                "servers": ["nats://a:1", "nats://b:2", "nats://[::1]:3"],
                "user": "order",
                "password": "secret",
            },
        ),
        ("nats://word@a:1", {"servers": ["nats://a:1"], "token": "word"}),
        (
            "nats://me%40home:p%3Aw%2C@a:1",
            {"servers": ["nats://a:1"], "user": "me@home", "password": "p:w,"},
        ),
    ],
)
def test_servers_and_credentials_are_separate_options(
    url: str, expected: dict[str, object]
) -> None:
    assert options(NATS_URL=url) == expected


def test_tls_url_requires_tls() -> None:
    assert isinstance(options(NATS_URL="tls://a:1")["tls"], ssl.SSLContext)
    assert "tls" not in options(NATS_URL="nats://a:1")


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"NATS_URL": ","}, "NATS_URL names no server"),
        ({"NATS_URL": "http://u:secret@a:1"}, r"NATS_URL has 'a:1'"),
        ({"NATS_URL": "nats://u:secret@a:port"}, r"NATS_URL has 'a:port'"),
        ({"NATS_URL": "nats://u:secret@"}, r"NATS_URL has ''"),
        ({"NATS_URL": "nats://u:secret@a,nats://v:secret@b"}, "NATS_URL has several users"),
        ({"NATS_URL": "nats://u:secret@a", "NATS_NKEY": "f"}, "NATS_URL and NATS_NKEY name"),
        ({"NATS_CREDS": "/none.creds"}, "NATS_CREDS=/none.creds: the file can't be read"),
        ({"NATS_CREDS": __file__}, "the file has no line with 'BEGIN NATS USER"),
        ({"NATS_NKEY": __file__}, "the file has no seed of an nkey"),
        ({"NATS_CA": "/none.pem"}, "NATS_CA=/none.pem: "),
        ({"NATS_CERT": "/none.pem"}, "NATS_CERT=/none.pem: "),
        ({"NATS_KEY": "/none.pem"}, "NATS_KEY is set without NATS_CERT"),
    ],
)
def test_wrong_setting_is_refused_by_name_and_without_its_secret(
    environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as refused:
        options(**environment)
    assert "secret" not in refused.value.message
