"""`make demo`: a few orders on the running stack, each with its events as they happen.

    python -m bench.demo

It calls the services over HTTP, as a shop's front end does, and subscribes at the broker as the
observer. Exits with 1 when an order did not end as expected.
"""

import asyncio
import os
import sys

import aiohttp
from nats.errors import Error as NatsError
from rich.console import Console
from rich.rule import Rule

from bench.demo.scenes import SCENES, SIGNED_IN
from bench.demo.stage import Stage
from infra.stack import addresses, broker, console, nats_cli, processes
from infra.stack.config import SERVICES, Stack
from tests.kit.client import UnexpectedResponse, open_shop

_ERRORS = (UnexpectedResponse, aiohttp.ClientError, NatsError, OSError, TimeoutError)


def main() -> int:
    return console.run(lambda: asyncio.run(_play(processes.running_stack())), *_ERRORS)


async def _play(stack: Stack) -> int:
    output = Console(highlight=False)
    unexpected = 0
    async with broker.observing(stack) as observer, open_shop(addresses.values(stack)) as shop:
        stage = Stage(observer, shop, output)
        await stage.listen()
        scenes = (*SCENES, *(SIGNED_IN if stack.auth else ()))
        if stack.auth:
            output.print("Signed in as the shopkeeper, who acts for the customers below.")
        for number, scene in enumerate(scenes, start=1):
            output.print()
            output.print(Rule(f"[bold]{number}. {scene.__doc__}", align="left", style="dim"))
            unexpected += not await scene(stage, shop)
    _print_hints(stack, output, stage.order_id)
    if unexpected:
        output.print(
            f"\n[bold red]{unexpected} of {len(scenes)} orders did not end as expected.[/]"
        )
    return 1 if unexpected else 0


def _print_hints(stack: Stack, output: Console, order_id: str) -> None:
    """What to try next, for the stack as it runs."""
    tool = "" if nats_cli.find(stack) else "  (first: make tools)"
    context = os.environ.get("NATS_CONTEXT", "saga")
    live = [("every event as it happens", f"nats --context {context} sub 'saga.>'{tool}")]
    hints = [
        ("this order's events, from the stream", f"make trace ORDER={order_id}"),
        *(live if context else ()),
        ("100 orders at once", "make load"),
        ("check money, stock, coupons and events", "make audit"),
        ("what runs, and each consumer's lag", "make status"),
        ("the services' logs", "make logs"),
        ("stop everything; until then it goes on running", "make down"),
        *(
            (f"the routes of {name}, to try by hand", f"{stack.url(name)}/schema")
            for name in SERVICES
        ),
    ]
    output.print()
    output.print(Rule("[bold]Where to look next", align="left", style="dim"))
    for purpose, command in hints:
        output.print(f"  {purpose:<48}[cyan]{command}[/]", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
