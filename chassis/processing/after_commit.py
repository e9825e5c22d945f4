"""What follows a commit: publish what was emitted, acknowledge what was delivered."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chassis.observability import metrics
from chassis.observability.logs import EACH, about
from chassis.outbox.outbox import Outbox
from chassis.ports import Broker
from chassis.processing.ack_extension import AckExtension
from chassis.processing.messages import Done, EventMessage, Message
from saga.envelope import OutboundEvent
from saga.event import Contract

log = logging.getLogger(__name__)


class AfterCommit:
    """Called with each batch's messages that are done. Everything here is quick and can't fail."""

    def __init__(
        self, outbox: Outbox, ack_extension: AckExtension, broker: Broker, contract: Contract
    ) -> None:
        self._key_names = {stream.name: stream.key for stream in contract.streams.values()}
        self._outbox = outbox
        self._ack_extension = ack_extension
        self._broker = broker

    def __call__(self, done: Sequence[tuple[Message, Done]]) -> None:
        emitted = [event for _, outcome in done for event in outcome.emitted]
        self._outbox.relay.offer(emitted)
        for message, outcome in done:
            if isinstance(message, EventMessage):
                message.delivery.ack()
                self._ack_extension.forget(message)
                _count(message, outcome)
                inbound = message.inbound
                if inbound and inbound.is_retransmission and not outcome.emitted:
                    self._outbox.retransmitter.answer_later(inbound)
        self._broker.resume()
        self._report(emitted)

    def _report(self, emitted: Sequence[OutboundEvent]) -> None:
        for name, count in Counter(event.name for event in emitted).items():
            metrics.emitted.labels(name).inc(count)
        if emitted:
            lines = [about(event, self._key_names[event.stream]) for event in emitted]
            log.info("emitted", extra={EACH: lines})


def _count(message: EventMessage, outcome: Done) -> None:
    reason = message.dead_letter_reason
    if reason is not None:
        metrics.dead.labels(reason.code).inc()
        where: dict[str, Any] = {"subject": message.delivery.subject}
        log.error("dead letter", extra=where | {"reason": reason.error})
    elif outcome.replayed:
        metrics.repeated.inc()
    elif message.inbound is not None:
        metrics.of_consumed(message.inbound.name).inc()
