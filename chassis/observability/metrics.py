"""What a service counts, for Prometheus. One service runs in a process, so names need no label."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

consumed = Counter("saga_events_heard_total", "Events worked on and committed.", ["event"])
repeated = Counter("saga_events_repeated_total", "Events that the inbox knew already.")
emitted = Counter("saga_events_said_total", "Events committed to the outbox.", ["event"])
retransmitted = Counter("saga_events_said_again_total", "Repeats and answers to repeats.")
dead = Counter("saga_dead_letters_total", "Messages set aside as dead letters.", ["reason"])
commands = Counter("saga_commands_total", "Commands by their end.", ["command", "outcome"])
batch_size = Histogram(
    "saga_batch_messages", "Messages in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
batch_seconds = Histogram(
    "saga_batch_seconds", "From the start of a batch's transaction to its commit.", buckets=_FAST
)
rejected = Counter(
    "shop_orders_turned_away_total", "Orders not let in: more came than can be done."
)
waiting = Gauge("saga_mailbox_waiting", "Messages in the mailbox.")
unpublished = Gauge("saga_outbox_unpublished", "Committed events not yet on the broker.")
outbox_age = Gauge("saga_outbox_age_seconds", "Age of the oldest event not yet on the broker.")
broker = Gauge("saga_broker_connected", "1 while the broker is connected.")
listeners = Gauge("shop_listeners", "Clients who follow an order live.")
cache_reads = Counter(
    "shop_cache_reads_total", "Cached reads by where it was.", ["cache", "source"]
)
gate = Counter("shop_gate_verdicts_total", "Orders of hot products by verdict.", ["verdict"])
hot_product_drift = Gauge(
    "shop_gate_drift_units", "How far limits were off, over all hot products, before renewal."
)
deliveries = Counter(
    "shop_deliveries_total",
    "Tries to send an order to the data platform: accepted, not_now, refused or not_tried.",
    ["outcome"],
)

# To find a metric by its labels takes longer than to count.
of_consumed = cache(consumed.labels)
of_command = cache(commands.labels)
