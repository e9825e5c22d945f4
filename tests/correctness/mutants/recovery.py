"""Mistakes in recovery mode: what a restored service adopts, and what it may not publish."""

from tests.correctness.mutants.mutant import Drop, Mutant, Replace, Skip, model, tests

RECOVERY = tests("tests/integration/test_recovery.py")

MUTANTS = (
    Mutant(
        "a restored service decides a second time what it has published",
        "chassis.recovery.adoption",
        "Adopter.adopt_all",
        Replace("adopted = await self._adopt_stream(stream)", "adopted = 0"),
        RECOVERY,
    ),
    Mutant(
        "two instances adopt the same event",
        "chassis.recovery.adoption",
        "Adopter._adopt_in",
        Replace(" if each.row.event_id not in known", ""),
        RECOVERY,
    ),
    Mutant(
        "a retransmitted event is adopted twice",
        "chassis.recovery.adoption",
        "Adopter._missing",
        Replace(
            "first.setdefault(inbound.event_id, (inbound, message))",
            "first[str(message.sequence)] = (inbound, message)",
        ),
        RECOVERY,
    ),
    Mutant(
        "what the backup had not published yet stays unpublished",
        "chassis.recovery.adoption",
        "_mark_known",
        Drop("_mark.execute_many"),
        RECOVERY,
    ),
    Mutant(
        "the replay publishes what contradicts a published event",
        "chassis.recovery.verdicts",
        "contradicted",
        Skip(),
        RECOVERY,
    ),
    Mutant(
        "the replay emits once more what is published",
        "chassis.recovery.verdicts",
        "RecoveringBatch._react",
        Replace("if all(event_id != outbound.event_id for event_id, _, _ in published)", "if True"),
        RECOVERY,
    ),
    Mutant(
        "the rows of a refused decision stay",
        "chassis.recovery.verdicts",
        "RecoveringBatch._react",
        Drop("self.uow.roll_back()"),
        RECOVERY,
    ),
    Mutant(
        "the release publishes what contradicts the stream",
        "chassis.recovery.verification",
        "Verification._end_recovery",
        Replace("rows = await self._database.run(_waiting)", "rows = []"),
        RECOVERY,
    ),
    Mutant(
        "a restored database is used without recovery mode",
        "chassis.recovery.verification",
        "Verification._check_newest",
        Skip(),
        RECOVERY,
    ),
    Mutant(
        "an adopted payment takes no money",
        "payment.adoption",
        "_book",
        Skip(),
        RECOVERY,
    ),
    Mutant(
        "a restored shelf still has what was sold",
        "product.adoption",
        "adopt_decremented",
        Drop("uow.reserve"),
        model("product is restored, two orders", "full"),
    ),
    Mutant(
        "a restored coupon can be used again",
        "coupon.adoption",
        "adopt_used",
        Replace("uow.issued[event.coupon_id] = coupon.use(event.order_id, uow.now)", "pass"),
        model("coupon is restored"),
    ),
    Mutant(
        "a restored order service asks for a cancelled order's refund as for the first",
        "order.adoption",
        "adopt_cancel_requested",
        Replace("event.attempt)", "1)"),
        model("order is restored, with a card", "full"),
    ),
)
