"""Mistakes with the queues for stock."""

from tests.correctness.mutants.mutant import model, tests

PRODUCT, WAITLIST = "product/reactions.py", "product/waitlist.py"
IN_BATCHES = "tests/integration/test_queues_in_store.py"
RULES = "tests/unit/test_waitlist.py"

MUTANTS = (
    model(
        "a coupon that missed an order's death in the queue is not told of it",
        PRODUCT,
        "return restored, *waitlist.serve(uow, left), *_availability_changes(uow)",
        "return *waitlist.serve(uow, left), *_availability_changes(uow)",
        "waiting for stock, and a loss",
        bound="full",
    ),
    model(
        "who leaves the queue keeps the place",
        WAITLIST,
        "msgspec.structs.replace(uow.queues[key], waiting=False)",
        "uow.queues[key]",
        "waiting for stock",
    ),
    model(
        "stock that comes in serves nobody",
        PRODUCT,
        "waitlist.serve(uow, [product.product_id]) if command.delta > 0 else []",
        "[]",
        "waiting for stock",
    ),
    tests(
        "whoever finds enough passes those who wait",
        PRODUCT,
        "objection or waitlist.has_queue(uow, event.items)",
        "objection",
        RULES,
    ),
    tests(
        "the first in one queue is served, whoever is before it in another",
        WAITLIST,
        "if first is None or first.order_id != hold.order_id:",
        "if first is None:",
        RULES,
    ),
    tests(
        "nobody looks whose turn it is then in the other queues",
        WAITLIST,
        "        to_serve += product_ids(hold.items)\n",
        "",
        RULES,
    ),
    tests(
        "of a queue only the first place is loaded",
        "product/store.py",
        "most = products[product_id].available + units[product_id] + len(leaving) + 1",
        "most = 1",
        IN_BATCHES,
    ),
    tests(
        "a queue that was not loaded is served from",
        PRODUCT,
        "if command.delta > 0 else []",
        "",
        IN_BATCHES,
    ),
)
