"""`make streams`: give the broker's streams the settings of this version and of NATS_REPLICAS."""

import asyncio
import os

from rich.console import Console

from chassis.settings import broker_settings
from infra.stack import broker, config, processes


def apply(console: Console) -> None:
    """At NATS_URL, as a user that may change streams; without it at the local stack, as admin."""
    if os.environ.get("NATS_URL"):
        access, replicas = broker_settings(), config.from_environment().replicas
        max_bytes = config.stream_bytes()
    else:
        stack = processes.running_stack()
        access, replicas = broker.access(stack, "admin"), stack.replicas
        max_bytes = stack.stream_bytes
    changed = asyncio.run(broker.apply_stream_settings(access, replicas, max_bytes))
    for stream, differences in changed.items():
        console.print(f"{stream}: changed. {differences}", markup=False, soft_wrap=True)
    if not changed:
        console.print("Every stream has its settings.")
