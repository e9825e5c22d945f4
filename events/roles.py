"""The roles of users, by the words that access tokens carry."""

from enum import StrEnum


class Role(StrEnum):
    """What a user may do; the services check it by these words."""

    CUSTOMER = "customer"
    READER = "reader"
    SHOPKEEPER = "shopkeeper"
    OPERATOR = "operator"


AGENTS = frozenset({Role.SHOPKEEPER.value})
"""Who may act for any customer."""
