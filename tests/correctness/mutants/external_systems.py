"""Mistakes in calling external systems: payment gateway, data platform, and Redis."""

from tests.correctness.mutants.mutant import Drop, Mutant, Replace, tests

GATEWAY_CLIENT = "tests/integration/test_gateway_client.py"
PLATFORM_CLIENT = "tests/integration/test_platform_client.py"
LEASES = "tests/integration/test_leases.py"
OUTBOUND = "tests/integration/test_outbound.py"

GATEWAY = (
    Mutant(
        '"not found" counts as failed',
        "payment.gateway",
        "HttpGateway._inquire",
        Replace("await self._void(call)", "GatewayOutcome.DECLINED"),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "a key is charged again after the gateway has forgotten it",
        "payment.gateway",
        "HttpGateway._decide",
        Replace("if self._is_remembered(call)", ""),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "an answer is taken whatever key it is about",
        "payment.gateway",
        "HttpGateway._call",
        Replace("and reply.key == key", ""),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "a refused charge is declined without a fence",
        "payment.gateway",
        "HttpGateway._fence",
        Replace(
            "await self._void(call)",
            "Decision(outcome=GatewayOutcome.VOIDED)",
        ),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "a refused void counts as a fence",
        "payment.gateway",
        "HttpGateway._void",
        Replace(
            'raise UnusableAnswer(f"the void is refused: {refusal}") from refusal',
            "return Decision(outcome=GatewayOutcome.VOIDED)",
        ),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "a refused refund is refused although its money is back",
        "payment.gateway",
        "HttpGateway._settle_refused_refund",
        Replace("if charge.refunded_amount == call.amount", "if False"),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "an answer that can't be used leaves its connection to the next request",
        "chassis.outbound",
        "OutboundClient.request",
        Replace("is_reusable = False", "is_reusable = True"),
        tests(OUTBOUND),
    ),
    Mutant(
        "an odd answer to one request counts as a failure of the system",
        "chassis.outbound",
        "_is_failure",
        Replace("and not issubclass(kind, UnusableAnswer)", ""),
        tests(GATEWAY_CLIENT),
    ),
    Mutant(
        "an external system is called although its circuit breaker is open",
        "chassis.outbound",
        "OutboundClient._counted",
        Drop("self.breaker_is_open"),
        tests(OUTBOUND),
    ),
    Mutant(
        "a gateway's 5xx counts as declined",
        "payment.gateway",
        "HttpGateway._call",
        Replace(
            'raise Unavailable(f"answered {answer.status}", wait_seconds)',
            'return _Reply(status="DECLINED")',
        ),
        tests(GATEWAY_CLIENT),
    ),
)

DATA_PLATFORM = (
    Mutant(
        "an order that the data platform refuses counts as sent",
        "dataplatform.sender",
        "Sender._check",
        Replace("< 300", "< 500"),
        tests(PLATFORM_CLIENT),
    ),
    Mutant(
        "every waiting order probes whether the data platform is back",
        "chassis.outbound",
        "OutboundClient.max_calls",
        Replace("if self._breaker.closed else 1", ""),
        tests(OUTBOUND),
    ),
    Mutant(
        "two instances send the same order at once",
        "dataplatform.reactions",
        "send",
        Replace("and delivery.is_due(uow.now)", ""),
        tests("tests/unit/test_deliveries.py"),
    ),
)

REDIS = (
    Mutant(
        "the lease of an order that was refused is not given back",
        "order.hot_products",
        "HotProductAdmission._place_leased",
        Drop("end([command.order_id], marker)"),
        tests("tests/e2e/saga/test_hot_products.py::test_refused_order_releases_its_lease"),
    ),
    Mutant(
        "the product service does not end the leases of orders that it has decided",
        "chassis/redis/lua/renew.lua",
        "",
        Replace("for i = 3, #ARGV do", "for i = #ARGV + 1, #ARGV do"),
        tests(LEASES),
    ),
    Mutant(
        "a lease never expires",
        "chassis/redis/lua/lease.lua",
        "",
        Replace("'-inf', now)", "'-inf', 0)"),
        tests(LEASES),
    ),
)

MUTANTS = (*GATEWAY, *DATA_PLATFORM, *REDIS)
