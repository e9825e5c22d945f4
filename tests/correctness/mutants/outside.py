"""Mistakes in calling the outside: the payment gateway and the data platform."""

from tests.correctness.mutants.mutant import tests

GATEWAY, SENDER = "payment/gateway.py", "dataplatform/sender.py"

MUTANTS = (
    tests(
        '"not found" counts as failed',
        GATEWAY,
        "        if code == 404:\n            return await self._void(call)\n",
        "        if code == 404:\n            return GatewayOutcome.DECLINED\n",
        "tests/integration/test_gateway_client.py",
    ),
    tests(
        "a key is charged again after the gateway has forgotten it",
        GATEWAY,
        "case Action.CHARGE if self._is_remembered(call):",
        "case Action.CHARGE if True:",
        "tests/integration/test_gateway_client.py",
    ),
    tests(
        "an answer is taken for one's own, whatever key it is about",
        GATEWAY,
        "if answer.status != 404 and reply.key != key:",
        "if False:",
        "tests/integration/test_gateway_client.py",
    ),
    tests(
        "a gateway that rests is called all the same",
        GATEWAY,
        "        if self._breaker.opened:  #",
        "        if False:  #",
        "tests/integration/test_gateway_client.py",
    ),
    tests(
        "a gateway's 5xx counts as declined",
        GATEWAY,
        '            raise UnknownOutcome(f"answered {answer.status}")\n        reply',
        '            return 402, "DECLINED"\n        reply',
        "tests/integration/test_gateway_client.py",
    ),
    tests(
        "an order that the data platform refuses counts as sent",
        SENDER,
        "if 200 <= answer.status < 300:",
        "if 200 <= answer.status < 500:",
        "tests/integration/test_platform_client.py",
    ),
    tests(
        "all that waits tries whether the data platform is back",
        SENDER,
        "return MAX_IN_FLIGHT if self._breaker.closed else 1",
        "return MAX_IN_FLIGHT",
        "tests/integration/test_platform_client.py",
    ),
)
