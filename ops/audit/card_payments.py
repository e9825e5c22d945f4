"""Money that went through the payment gateway: does the gateway's statement agree, both ways?

The statement is read after the databases. What it shows from after the audit's beginning is not
checked, and neither is what the gateway has not decided.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import msgspec
from sqlalchemy import Connection, text

from ops.audit.findings import CannotRead, Discrepancy, Result, result
from ops.audit.tolerance import Tolerance

CAPTURED = "gateway: what it has taken and kept is what payments and top-ups have"
ORPHANS = "gateway: every charge belongs to a payment or a top-up"

_TIMEOUT_SECONDS = 10.0
_PAGE_ROWS = 1000


class Posting(msgspec.Struct, frozen=True, rename="camel"):
    """A line of the gateway's statement. `time` in Unix seconds, `amount` in KRW."""

    sequence: int
    key: str
    kind: str
    amount: int
    time: float
    customer_id: str | None = None


class _Page(msgspec.Struct):
    items: list[Posting]


class Charge(msgspec.Struct, frozen=True):
    """A charge by the payment service's row. `kept` in KRW; None while it is not decided."""

    key: str
    order_id: str | None
    state: str
    kept: int | None


def charges(payment: Connection) -> list[Charge]:
    """Every charge that was ever intended, by the payment service's rows."""
    cards = "SELECT payment_id, order_id, state, amount, stray FROM payments WHERE method = 'CARD'"
    top_ups = "SELECT top_up_id, state, amount, retry_at FROM top_ups"
    return [
        *(
            Charge(row.payment_id, row.order_id, row.state, _kept_of_card(row))
            for row in payment.execute(text(cards))
        ),
        *(
            Charge(row.top_up_id, None, row.state, _kept_of_top_up(row))
            for row in payment.execute(text(top_ups))
        ),
    ]


def checks(
    postings: Sequence[Posting], known: Sequence[Charge], tolerance: Tolerance
) -> list[Result]:
    """Compare the gateway's statement with the payment service's charges."""
    began = tolerance.began_at.timestamp()
    moved = {posting.key for posting in postings if posting.time >= began}
    kept = Counter[str]()
    for posting in postings:
        kept[posting.key] += posting.amount if posting.kind == "CAPTURE" else -posting.amount
    checked = [each for each in known if each.kept is not None and each.key not in moved]
    names = {each.key for each in known} | moved
    payers = {posting.key: posting.customer_id for posting in postings}
    orphans = (key for key, amount in kept.items() if amount and key not in names)
    return [
        result(CAPTURED, len(checked), _disagreements(checked, kept)),
        result(
            ORPHANS,
            len(kept),
            (
                Discrepancy(
                    check=ORPHANS,
                    entity=key,
                    what=f"{kept[key]} KRW under {key}{_payer(key, payers)}, which no row has",
                )
                for key in sorted(orphans)
            ),
        ),
    ]


def _payer(key: str, payers: Mapping[str, str | None]) -> str:
    """The customer, whom an operator has to name who books the money."""
    return f" of customer {payer}" if (payer := payers[key]) else ""


def statement(url: str) -> list[Posting] | None:
    """All that the gateway has captured and given back; None where it gives no statement.

    Raises CannotRead.
    """
    found: list[Posting] = []
    while True:
        after = found[-1].sequence if found else 0
        page = _page(f"{url}/v1/statement?after={after}&limit={_PAGE_ROWS}")
        if page is None:
            return None
        if not page:
            return found
        found += page


def _page(url: str) -> list[Posting] | None:
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=_Page).items
    except (httpx.HTTPError, msgspec.DecodeError) as error:
        raise CannotRead(
            f"The payment gateway's statement can't be read ({error!r}). Look at: make status"
        ) from error


def _disagreements(checked: Sequence[Charge], kept: Counter[str]) -> Iterator[Discrepancy]:
    for each in checked:
        if kept[each.key] != each.kept:
            yield Discrepancy(
                check=CAPTURED,
                order_id=each.order_id,
                entity=each.key,
                what=f"{each.key} is {each.state}: {each.kept} KRW should be kept for it, the "
                f"gateway has kept {kept[each.key]}",
            )


def _kept_of_card(row: Any) -> int | None:
    if row.state in ("INTENT", "REFUNDING") or row.stray == "RETURNING":
        return None
    return int(row.amount) if row.state == "CAPTURED" else 0


def _kept_of_top_up(row: Any) -> int | None:
    if row.retry_at is not None:
        return None
    return int(row.amount) if row.state == "BOOKED" else 0
