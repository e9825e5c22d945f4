"""Mistakes in the queues of orders that wait for stock."""

from tests.correctness.mutants.mutant import Drop, Mutant, Replace, model, tests

IN_BATCHES = "tests/integration/test_queues_in_store.py"
RULES = "tests/unit/test_waitlist.py"

MUTANTS = (
    Mutant(
        "an order that ends in the queue is not reported to a coupon that missed its end",
        "product.reactions",
        "restore_stock",
        Replace(
            "return restored, *waitlist.serve(uow, left),",
            "return *waitlist.serve(uow, left),",
        ),
        model("waiting for stock, and a loss", bound="full"),
    ),
    Mutant(
        "an order that leaves the queue keeps its place",
        "product.waitlist",
        "leave",
        Replace("waiting=False", ""),
        tests(RULES),
    ),
    Mutant(
        "stock that comes in serves no order",
        "product.reactions",
        "book_stock",
        Replace("command.delta > 0", "False"),
        model("waiting for stock"),
    ),
    Mutant(
        "an order that finds enough stock overtakes those that wait",
        "product.reactions",
        "decrement_stock",
        Replace("objection or waitlist.has_queue(uow, event.items)", "objection"),
        tests(RULES),
    ),
    Mutant(
        "the first order of one queue is served before those ahead of it in another",
        "product.waitlist",
        "_next_served",
        Replace("or first.order_id != hold.order_id", ""),
        tests(RULES),
    ),
    Mutant(
        "after an order is served, its other queues are not looked at",
        "product.waitlist",
        "serve",
        Drop("+= product_ids"),
        tests(RULES),
    ),
    Mutant(
        "of a queue only the first place is loaded",
        "product.store",
        "_load_queues",
        Replace("available + units[product_id] + len(leaving) + 1", "available * 0 + 1"),
        tests(IN_BATCHES),
    ),
    Mutant(
        "a queue that was not loaded is served from",
        "product.reactions",
        "book_stock",
        Replace("if command.delta > 0 else []", ""),
        tests(IN_BATCHES),
    ),
)
