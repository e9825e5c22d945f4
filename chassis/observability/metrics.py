"""The chassis' metrics for Prometheus. A process runs one service, so no metric has it as a label.

Metrics of a single service are declared beside the code that sets them.
"""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

consumed = Counter("saga_events_consumed_total", "Events handled and committed.", ["event"])
repeated = Counter("saga_events_repeated_total", "Events that were in the inbox already.")
emitted = Counter("saga_events_emitted_total", "Events committed to the outbox.", ["event"])
retransmitted = Counter(
    "saga_events_retransmitted_total", "Retransmissions, and events that answer one."
)
dead = Counter("saga_dead_letters_total", "Messages stored as dead letters.", ["reason"])
audit_log_counted = Counter(
    "saga_audit_log_counted_total",
    "Refusals without an entry of their own in the audit log: too many came at once.",
)
letters_open = Gauge(
    "saga_dead_letters_open", "Dead letters that are neither redriven nor dismissed."
)
commands = Counter("saga_commands_total", "Commands by outcome.", ["command", "outcome"])
batch_size = Histogram(
    "saga_batch_messages", "Messages in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
batch_seconds = Histogram(
    "saga_batch_seconds", "From the start of a batch's transaction to its commit.", buckets=_FAST
)
waiting = Gauge("saga_mailbox_waiting", "Messages in the mailbox.")
unpublished = Gauge("saga_outbox_unpublished", "Committed events not yet on the broker.")
outbox_age = Gauge("saga_outbox_age_seconds", "Age of the oldest event not yet on the broker.")
stream_fill = Gauge(
    "saga_stream_fill_ratio", "Bytes of a stream by their limit; 0 without one.", ["stream"]
)
broker = Gauge("saga_broker_connected", "1 while the broker is connected.")
cache_reads = Counter("saga_cache_reads_total", "Cached reads by source.", ["cache", "source"])
external_requests = Counter(
    "saga_external_requests_total",
    "Requests to an external system by outcome: answered, unusable, failed or not_sent.",
    ["system", "outcome"],
)
external_seconds = Histogram(
    "saga_external_request_seconds",
    "From a request to an external system to the end of its answer.",
    ["system"],
    buckets=_FAST,
)
external_breaker_state = Gauge(
    "saga_external_breaker_state",
    "The circuit breaker of an external system: 0 closed, 1 half open, 2 open.",
    ["system"],
)

# The look-up of a metric by its labels takes longer than the count.
of_consumed = cache(consumed.labels)
of_command = cache(commands.labels)
