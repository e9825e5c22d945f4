"""The results of a load, and how they are printed."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from infra.stack import tables

_MAX_SHOWN = 20


class Percentiles(msgspec.Struct, frozen=True):
    """In milliseconds."""

    p50: float
    p95: float
    p99: float


class Left(msgspec.Struct, frozen=True):
    """The customer's wallet, in KRW, and the product's stock, after the load; None: unknown."""

    balance: int | None
    available: int | None
    reserved: int | None


class Figures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`ends` by status and reason; `refused` by HTTP status and error code.

    Rates are from the first POST to the last answer, or to the last end.
    """

    accepted: int
    ends: dict[str, int]
    refused: dict[str, int]
    not_ended: list[str]
    post_milliseconds: Percentiles | None
    order_milliseconds: Percentiles | None
    accepted_per_second: float
    ended_per_second: float
    wallet_balance: int | None
    stock_available: int | None
    stock_reserved: int | None

    @property
    def went_well(self) -> bool:
        return not self.refused and not self.not_ended


def figures(
    *,
    sent_at: Mapping[str, float],
    ended_at: Mapping[str, float],
    ends: Mapping[str, str],
    post_seconds: Sequence[float],
    refused: Mapping[str, int],
    span: tuple[float, float],
    left: Left,
) -> Figures:
    """`span`: when the first POST was sent and the last one answered."""
    ours = [order_id for order_id in sent_at if order_id in ends]
    first, last_answer = span
    last_end = max((ended_at[order_id] for order_id in ours), default=first)
    return Figures(
        accepted=len(sent_at),
        ends=dict(sorted(Counter(ends[order_id] for order_id in ours).items())),
        refused=dict(sorted(refused.items())),
        not_ended=[order_id for order_id in sent_at if order_id not in ends],
        post_milliseconds=_percentiles(post_seconds),
        order_milliseconds=_percentiles([ended_at[each] - sent_at[each] for each in ours]),
        accepted_per_second=_rate(len(sent_at), last_answer - first),
        ended_per_second=_rate(len(ours), last_end - first),
        wallet_balance=left.balance,
        stock_available=left.available,
        stock_reserved=left.reserved,
    )


def show(result: Figures, console: Console) -> None:
    """Print the summary for people."""
    _show_counts(result, console)
    _show_latencies(result, console)
    reserved = f" ({result.stock_reserved:,} reserved)" if result.stock_reserved else ""
    console.print(
        f"  {result.accepted_per_second:,.0f} orders/s accepted, "
        f"{result.ended_per_second:,.0f} orders/s ended\n"
        f"  the wallet has {_known(result.wallet_balance)} KRW, "
        f"the product {_known(result.stock_available)}{reserved}",
        highlight=False,
    )
    if result.not_ended:
        console.print("\n  These were accepted and have not ended; see make trace ORDER=...")
        for order_id in result.not_ended[:_MAX_SHOWN]:
            console.print(f"  {order_id}", highlight=False)
        if len(result.not_ended) > _MAX_SHOWN:
            console.print(f"  and {len(result.not_ended) - _MAX_SHOWN:,} more: --json")


def _show_counts(result: Figures, console: Console) -> None:
    rows = [
        (Text(end, "green" if end == "COMPLETED" else "yellow"), f"{count:,}")
        for end, count in result.ends.items()
    ]
    if result.not_ended:
        rows.append((Text("not ended in time", "red"), f"{len(result.not_ended):,}"))
    for why, count in result.refused.items():
        rows.append((Text(f"not accepted: {why}", "red"), f"{count:,}"))
    columns = ("orders", f"{result.accepted:,} accepted")
    tables.show(console, columns, rows, right=columns[1:])


def _show_latencies(result: Figures, console: Console) -> None:
    measured = {
        "POST": result.post_milliseconds,
        "order, from POST to its end": result.order_milliseconds,
    }
    rows = [
        (name, *(f"{value:,.1f}" for value in msgspec.structs.astuple(percentiles)))
        for name, percentiles in measured.items()
        if percentiles is not None
    ]
    columns = Percentiles.__struct_fields__
    tables.show(console, ("latency in ms", *columns), rows, right=columns)


def _percentiles(seconds: Sequence[float]) -> Percentiles | None:
    """By nearest rank: each is a measured latency, not an interpolated one."""
    if not seconds:
        return None
    in_order = sorted(seconds)
    ranks = (math.ceil(len(in_order) * share) - 1 for share in (0.5, 0.95, 0.99))
    return Percentiles(*(round(in_order[rank] * 1000, 2) for rank in ranks))


def _known(number: int | None) -> str:
    return "(its service does not answer)" if number is None else f"{number:,}"


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds > 0 else 0.0
