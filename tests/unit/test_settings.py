"""Settings from the environment: defaults for one machine, and errors that name the variable."""

from pathlib import Path

import pytest

from chassis.storage.database import Database
from saga.errors import ConfigurationError
from tests.kit.settings import settings_of


def test_defaults_are_for_one_machine() -> None:
    settings = settings_of("order", {})
    assert (settings.host, settings.port) == ("127.0.0.1", 8181)
    assert settings.database_url == f"sqlite+aiosqlite:///{Path('.run').absolute()}/db/order.db"
    assert settings.instance == "order-8181"
    assert settings.ops_token is None


def test_variable_with_the_service_name_is_for_this_service() -> None:
    environment = {"COUPON_PORT": "9000", "ORDER_PORT": "9001", "COUPON_DATABASE_URL": "x://y"}
    settings = settings_of("coupon", environment)
    assert (settings.port, settings.database_url) == (9000, "x://y")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ORDER_PORT", "0"),
        ("ORDER_PORT", "65536"),
        ("ORDER_PORT", "eighty"),
        ("ORDER_PORT", "-1"),
        ("ORDER_PORT", "\u0661"),  # a digit, but not an ASCII one
        ("LOG_LEVEL", "LOUD"),
        ("NATS_REPLICAS", "9"),
        ("MAILBOX_CAPACITY", "0"),
        ("PATIENCE_SECONDS", "1.5"),
        ("RETENTION_SECONDS", "1"),
    ],
)
def test_invalid_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}={value}"):
        settings_of("order", {name: value})


def test_database_driver_without_synchronous_twin_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="mysql"):
        Database("mysql+aiomysql://localhost/shop")


def test_only_addresses_that_get_a_path_lose_their_last_slash() -> None:
    environment = {"DATA_PLATFORM_URL": "https://a/b/?c=d/", "PAYMENT_GATEWAY_URL": "http://e/f/"}
    assert settings_of("dataplatform", environment).data_platform_url == "https://a/b/?c=d/"
    assert settings_of("payment", environment).payment_gateway_url == "http://e/f"
    with pytest.raises(ConfigurationError, match="DATA_PLATFORM_URL=ftp://a"):
        settings_of("dataplatform", {"DATA_PLATFORM_URL": "ftp://a"})
