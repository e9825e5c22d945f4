"""The kernel and the chassis carry any choreography: they contain no word of the shop."""

import re
from pathlib import Path

import pytest

from events.contract import CONTRACT
from events.participants import PARTICIPANTS
from tests.kit.client import ROOT

_NOUNS = "shops?|products?|coupons?|payments?|customers?|wallets?|stock|carts?|catalogue?|krw"
_ORDER = "an order|orders|order_ids?|orderId|ORDER_[A-Z]+"  # not the English "in this order"
_NAMES = "|".join([*CONTRACT.names, *(f"[\"']{name}[\"']" for name in PARTICIPANTS)])
SHOP_WORDS = re.compile(
    rf"(?<![A-Za-z])(?:(?i:{_NOUNS})(?![a-z])|(?:{_ORDER})(?![A-Za-z]))|{_NAMES}"
)

FIXED = {
    "saga/__init__.py": ["knows no shop"],
    "saga/ids.py": ['b"shop saga"'],
    "chassis/broker/access.py": ['{"user": unquote('],
    "chassis/storage/tables.py": ['Column("order_id"'],
}
"""What stays: a sentence that says so, a part of every stored id, an option of a client, a
column of a table."""


def sources() -> list[str]:
    files = (path for folder in ("saga", "chassis") for path in (ROOT / folder).rglob("*.*"))
    return sorted(str(path.relative_to(ROOT)) for path in files if path.suffix in (".py", ".lua"))


def shop_words(text: str) -> list[str]:
    return [found[0] for found in SHOP_WORDS.finditer(text)]


@pytest.mark.parametrize("name", sources())
def test_kernel_and_chassis_contain_no_word_of_the_shop(name: str) -> None:
    text = Path(ROOT / name).read_text()
    for fixed in FIXED.get(name, []):
        assert fixed in text
        text = text.replace(fixed, "")
    assert shop_words(text) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("an order waits", "an order"),
        ("rows.c.order_id", "order_id"),
        ('{"orderId": 1}', "orderId"),
        ("def on(event: OrderFailed)", "OrderFailed"),
        ("metrics.shop_listeners", "shop"),
        ("Krw64", "Krw"),
        ("Reactions('order')", "'order'"),
        ("ORDER_PORT", "ORDER_PORT"),
    ],
)
def test_a_word_of_the_shop_is_found(text: str, word: str) -> None:
    assert word in shop_words(text)


@pytest.mark.parametrize("text", ["in the order of the key", "order_by(key)", "production"])
def test_english_words_are_no_words_of_the_shop(text: str) -> None:
    assert shop_words(text) == []
