"""The saga on Restate, in two ways, served by hypercorn as Restate's documentation does.

`place`: four services, as in this shop, each a process that alone knows its database; the order
service's durable handler calls the others. `place_alone`: one handler that reaches into all four
databases itself, which spares Restate's calls, and the services their independence.

`STATE_DIR` holds the databases, `SERVICES` names what a process serves, such as `Coupon`.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import restate

from bench.peers.steps import PRICE_WON, Refused, Sqlite, Steps

steps = Steps(Sqlite(Path(os.environ["STATE_DIR"])))
order = restate.Service("Order")
coupon = restate.Service("Coupon")
product = restate.Service("Product")
payment = restate.Service("Payment")


class Wanted(msgspec.Struct):
    customer: int
    product: int
    quantity: int


class Step(msgspec.Struct):
    order: str
    customer: int
    product: int
    quantity: int


async def _done(step: Callable[..., None], *arguments: Any) -> None:
    """Run a step in a thread. A refusal is an answer; anything else Restate tries again."""
    try:
        await asyncio.to_thread(step, *arguments)
    except Refused as refused:
        raise restate.TerminalError(str(refused)) from refused


# One idempotent transaction and nothing else: there is nothing in them to be journaled.


@coupon.handler()
async def use(_: restate.Context, step: Step) -> None:
    await _done(steps.use_coupon, step.order)


@coupon.handler("restore")
async def restore_coupon(_: restate.Context, step: Step) -> None:
    await _done(steps.restore_coupon, step.order)


@product.handler()
async def take(_: restate.Context, step: Step) -> None:
    await _done(steps.take_stock, step.order, step.product, step.quantity)


@product.handler("restore")
async def restore_stock(_: restate.Context, step: Step) -> None:
    await _done(steps.restore_stock, step.order, step.product, step.quantity)


@payment.handler()
async def pay(_: restate.Context, step: Step) -> None:
    await _done(steps.pay, step.order, step.customer, PRICE_WON * step.quantity)


@order.handler()
async def place(ctx: restate.Context, wanted: Wanted) -> str:
    """Gives COMPLETED or FAILED, once that is durable."""
    step = Step(str(ctx.uuid()), wanted.customer, wanted.product, wanted.quantity)

    def call(handler: Callable[[Any, Step], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        return lambda: ctx.service_call(handler, step)

    return await _saga(
        ctx, step, (call(use), call(take), call(pay)), (call(restore_stock), call(restore_coupon))
    )


@order.handler()
async def place_alone(ctx: restate.Context, wanted: Wanted) -> str:
    """Gives COMPLETED or FAILED, once that is durable."""
    step = Step(str(ctx.uuid()), wanted.customer, wanted.product, wanted.quantity)

    who, what, count = step.customer, step.product, step.quantity

    def run(name: str, *call: Any) -> Callable[[], Awaitable[None]]:
        return lambda: ctx.run_typed(name, _done, restate.RunOptions(), *call)

    forward = (
        run("use coupon", steps.use_coupon, step.order),
        run("take stock", steps.take_stock, step.order, what, count),
        run("pay", steps.pay, step.order, who, PRICE_WON * count),
    )
    undo = (
        run("restore stock", steps.restore_stock, step.order, what, count),
        run("restore coupon", steps.restore_coupon, step.order),
    )
    return await _saga(ctx, step, forward, undo)


async def _saga(
    ctx: restate.Context,
    step: Step,
    forward: tuple[Callable[[], Awaitable[None]], ...],
    undo: tuple[Callable[[], Awaitable[None]], ...],
) -> str:
    once: restate.RunOptions[None] = restate.RunOptions()
    wanted = (step.order, step.customer, step.product, step.quantity)
    await ctx.run_typed("create order", steps.create_order, once, *wanted)
    try:
        for each in forward:
            await each()
    except restate.TerminalError:
        for each in undo:
            await each()
        await ctx.run_typed("fail order", steps.fail_order, once, step.order)
        return "FAILED"
    await ctx.run_typed("complete order", steps.complete_order, once, step.order)
    return "COMPLETED"


_known = {each.name: each for each in (order, coupon, product, payment)}
app = restate.app(services=[_known[name] for name in os.environ["SERVICES"].split(",")])
