"""The settings of the payment service, beside those of every service."""

from typing import Annotated

from chassis.settings import Address
from chassis.settings import Settings as ChassisSettings


class Settings(ChassisSettings, frozen=True, kw_only=True):
    payment_gateway_url: Annotated[
        str | None,
        Address(
            "PAYMENT_GATEWAY_URL",
            "The payment gateway of cards and of wallets' charges. Without one, cards are declined "
            "and charges are booked at once.",
            "http",
            "https",
            shown="the local stack's simulator",
        ),
    ]


def has_gateway(settings: ChassisSettings) -> bool:
    assert isinstance(settings, Settings)
    return settings.payment_gateway_url is not None
