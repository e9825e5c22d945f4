"""What must hold for any choreography: the audit's checks of its events, and what no audit sees.

The audit runs unchanged on the simulated databases and streams, so each schedule tests the audit
too.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from ops.audit.delivery import Deliveries
from ops.audit.findings import Result
from ops.audit.sources import Databases
from ops.audit.stream import Contents, Held
from ops.audit.tolerance import Tolerance
from saga.choreography.graph import Choreography
from saga.envelope import EVENT_ID, subject_of
from saga.event import Event
from tests.correctness.simulation.machines import DEAD_LETTERS_NOT_DONE, EPOCH, Cluster

Edge = tuple[str, str, str]

MAX_CLOCK_SKEW = timedelta(hours=1)
"""No simulated clock is further ahead. Rows of one that is would be younger than the audit."""


def rows(cluster: Cluster, service: str, query: str, *values: str) -> list[Any]:
    return cluster.disks[service].rows(query, *values)


def states(cluster: Cluster, service: str) -> dict[str, str]:
    """The state of each saga's row at this service."""
    participant = cluster.participants[service]
    query = f"SELECT {participant.saga_key.name}, state FROM {participant.saga_rows.name}"  # noqa: S608 - names of the schema
    return {row[0]: row[1] for row in rows(cluster, service, query)}


def dead_letters(cluster: Cluster, service: str) -> list[int]:
    """The dead letters that are not done."""
    return [row[0] for row in rows(cluster, service, DEAD_LETTERS_NOT_DONE)]


def unsettled(cluster: Cluster) -> list[str]:
    """What is still under way anywhere; empty at rest."""
    found = [
        f"{machine.name} is not connected"
        for machine in cluster.machines
        if machine.service is None or not machine.service.broker.connected
    ]
    for service, participant in cluster.participants.items():
        found += [
            f"{service} {key}: {state}"
            for key, state in states(cluster, service).items()
            if state in participant.unsettled
        ]
        query = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
        if rows(cluster, service, query)[0][0]:
            found.append(f"{service} has unpublished events")
        found += [f"{service} has a dead letter"] * len(dead_letters(cluster, service))
    for name, stream in cluster.hub.streams.items():
        for service, durable in stream.durables.items():
            if durable.pending or durable.next_sequence <= len(stream.messages):
                found.append(f"{service} has not consumed all of {name}")
    found += _deleted(cluster)
    return found


def _deleted(cluster: Cluster) -> Iterator[str]:
    """Published events that the streams do not hold at their sequences."""
    query = "SELECT name, key, stream_sequence FROM outbox WHERE stream = ?"
    newest = (
        "SELECT name, key, stream_sequence FROM outbox WHERE stream = ? "
        "AND id IN (SELECT max(id) FROM outbox GROUP BY stream, subject)"
    )
    for stream_name, stream in cluster.hub.streams.items():
        if stream.state().messages == len(stream.messages):
            continue
        for service in cluster.participants:
            wanted = newest if stream.newest_only else query
            for name, key, sequence in rows(cluster, service, wanted, stream_name):
                if sequence is not None and stream.at(sequence) is None:
                    yield f"{name} of {key} was deleted from {stream_name}"


def violations(cluster: Cluster) -> Iterator[str]:
    """What does not hold for events at rest."""
    yield from discrepancies(deliveries(cluster).checks(contents(cluster)))
    yield from _uncommitted(cluster)
    yield from _dead_letters_without_a_bug(cluster)
    yield from _not_adopted(cluster)


def deliveries(cluster: Cluster) -> Deliveries:
    """The audit's view of the events, for which nothing may be under way any more."""
    return Deliveries(databases(cluster), flow(cluster), {}, tolerance(cluster))


def databases(cluster: Cluster) -> Databases:
    return {service: disk.connection for service, disk in cluster.disks.items()}


def flow(cluster: Cluster) -> Choreography:
    registries = [each.reactions for each in cluster.participants.values()]
    return Choreography(registries, registries[0].contract)


def tolerance(cluster: Cluster) -> Tolerance:
    return Tolerance(
        began_at=EPOCH + timedelta(seconds=cluster.loop.time()) + MAX_CLOCK_SKEW,
        quiet_seconds=0,
        limit_seconds=0,
        inbox_seconds=0,
        wait_seconds=0,
    )


def discrepancies(results: Iterable[Result]) -> Iterator[str]:
    return (str(found) for result in results for found in result.discrepancies)


def contents(cluster: Cluster) -> dict[str, Contents]:
    """The streams, as the audit reads them from a broker."""
    return {
        name: Contents(
            0,
            {
                sequence: Held(message.subject, message.headers[EVENT_ID])
                for sequence, message in stream.held()
            },
            frozenset(message.subject for _, message in stream.held()),
        )
        for name, stream in cluster.hub.streams.items()
    }


def is_in_stream(cluster: Cluster, event: type[Event], key: str) -> bool:
    """Was the first event of this key published?"""
    subject = subject_of(event, key)
    stream = cluster.hub.streams.get(event.stream.name)
    return stream is not None and any(each.subject == subject for _, each in stream.held())


def _uncommitted(cluster: Cluster) -> Iterator[str]:
    """What is published was committed before."""
    query = "SELECT event_id FROM outbox"
    committed = {row[0] for each in cluster.participants for row in rows(cluster, each, query)}
    for stream in cluster.hub.streams.values():
        for _, message in stream.held():
            if message.headers[EVENT_ID] not in committed:
                yield f"{message.subject} was published and never committed"


def _dead_letters_without_a_bug(cluster: Cluster) -> Iterator[str]:
    query = "SELECT subject, error FROM dead_letters WHERE reason != 'RAISED'"
    for service in cluster.participants:
        if found := rows(cluster, service, query):
            yield f"{service} has dead letters: {found[:3]}"


def _not_adopted(cluster: Cluster) -> Iterator[str]:
    """The streams hold everything, so a restored service adopts all, and decides as it had."""
    yield from cluster.stuck
    query = "SELECT kind, what FROM recovery_findings WHERE kind != 'SHORT'"
    for service in cluster.participants:
        yield from (f"{service}: {kind}: {what}" for kind, what in rows(cluster, service, query))


def history(cluster: Cluster) -> tuple[str, set[Edge]]:
    """All that was emitted, in order, and the edges of the choreography that were walked."""
    emitted: list[Any] = []
    names: dict[str, str] = {}
    causes: list[Edge] = []
    query = "SELECT event_id, name, cause_id, created_at, stream_sequence FROM outbox ORDER BY id"
    for service in cluster.participants:
        for row in rows(cluster, service, query):
            event_id, name, cause_id, *_ = row
            emitted.append(row)
            names[event_id] = name
            if cause_id:
                causes.append((cause_id, service, name))
    edges = {(names[cause], service, name) for cause, service, name in causes if cause in names}
    return repr(emitted), edges
