"""The command `python -m ops load`. Exits with 1 when an order was refused or has not ended."""

import argparse
import asyncio

from ops import deployment

MAX_ORDERS = 1_000_000
MAX_AT_ONCE = 10_000
_SEEDED = "66-34"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options to the parser of `python -m ops`."""
    explained = "place many orders at once, and wait for the end of each"
    parser = commands.add_parser("load", help=explained, description=explained)
    for option, maximum, default, what in (
        ("--orders", MAX_ORDERS, 100, "how many"),
        ("--concurrency", MAX_AT_ONCE, 100, "how many POSTs at once"),
        ("--timeout-seconds", 86_400, 60, "how long to wait for the last end after the last POST"),
    ):
        parser.add_argument(
            option, type=_whole(maximum), default=default, help=f"{what} (default: {default})"
        )
    parser.add_argument(
        "--scenario",
        choices=[_SEEDED],
        help="use the first data, whose money is enough for 66 of 100 orders; default: a customer "
        "and a product of the run's own, for whose money and stock all orders complete",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=_run)


class _whole:  # noqa: N801 - used like a function: argparse calls it on the text
    """A whole number from 1 to `maximum`."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum

    def __call__(self, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= self._maximum:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from 1 to {self._maximum}"
            )
        return int(text)


def _run(arguments: argparse.Namespace) -> int:
    import aiohttp
    import msgspec
    from nats.errors import Error as NatsError

    from infra.stack.config import StackError
    from infra.stack.console import CommandConsole
    from ops.load.figures import show
    from ops.load.placing import Load, place

    shop = deployment.find()
    shop.require(["NATS_URL", "ORDER_URL", "PRODUCT_URL", "PAYMENT_URL"])
    load = Load(
        arguments.orders,
        arguments.concurrency,
        arguments.timeout_seconds,
        arguments.scenario,
        arguments.json,
    )
    try:
        result = asyncio.run(place(shop, load))
    except (aiohttp.ClientError, NatsError, OSError) as error:
        raise StackError(f"{error!r}. Look at: make status") from error
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(result), indent=2).decode())
    else:
        show(result, CommandConsole())
    return 0 if result.went_well else 1
