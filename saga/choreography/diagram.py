"""docs/CHOREOGRAPHY.md, written from the choreography so that it can't drift."""

from typing import TYPE_CHECKING

from events.contract import CATALOG, Event, Part
from saga.envelope import subject_of
from saga.reactions import Reaction, Reactions

if TYPE_CHECKING:
    from saga.choreography.graph import Choreography

_HEAD = """\
# The choreography

Written by `make choreography` from the type hints of the services' `reactions.py`; don't edit it.
Nobody conducts: each service hears events, does its part in its own database, and says what it
decided. An arrow reads: *the service that says it* -> *the service that hears it*.
"""


def document(flow: "Choreography") -> str:
    parts = [
        _HEAD,
        "## The way forward\n",
        _diagram(flow, Part.FORWARD),
        "## When a step can't be done\n",
        _diagram(flow, Part.FAILURE, Part.UNDONE),
        "## Cancel and time-out\n",
        _diagram(flow, Part.REQUEST, Part.UNDONE),
        "## Events\n",
        _events_table(flow),
    ]
    for registry in flow.registries.values():
        parts += [f"## What {registry.service} does\n", _reactions_table(registry)]
    reserved = flow.reserved()
    if reserved:
        names = ", ".join(f"`{event.__name__}`" for event in reserved)
        parts += ["## Reserved\n", f"In the contract, but said and heard by nobody yet: {names}.\n"]
    return "\n".join(parts)


def _emitted(flow: "Choreography") -> list[type[Event]]:
    return [event for event in flow.contract.values() if flow.producers(event)]


def _diagram(flow: "Choreography", *parts: Part) -> str:
    lines = ["```mermaid", "flowchart LR"]
    for event in _emitted(flow):
        for producer in flow.producers(event) if event.part in parts else ():
            consumers = flow.consumers(event) or [f"{producer}_watchers(((whoever watches)))"]
            lines += [
                f"    {producer} -- {event.__name__} --> {consumer}" for consumer in consumers
            ]
    return "\n".join([*lines, "```\n"])


def _events_table(flow: "Choreography") -> str:
    lines = ["| event | subject | said by | heard by | then |", "|---|---|---|---|---|"]
    for event in _emitted(flow):
        subject = subject_of(event, "<productId>" if event.stream == CATALOG else "<orderId>")
        then = ", ".join(following.__name__ for following in flow.following(event)) or "-"
        consumers = ", ".join(flow.consumers(event)) or "whoever watches"
        producers = ", ".join(flow.producers(event))
        lines.append(f"| {event.__name__} | `{subject}` | {producers} | {consumers} | {then} |")
    return "\n".join(lines) + "\n"


def _reactions_table(registry: Reactions) -> str:
    lines = ["| hears | does | says |", "|---|---|---|"]
    lines += [_row(event.__name__, reaction) for event, reaction in registry.reactions.items()]
    lines += [
        _row(f"*{command.__name__}* (a command)", reaction)
        for command, reaction in registry.commands.items()
    ]
    return "\n".join(lines) + "\n"


def _row(handled: str, reaction: Reaction) -> str:
    emits = ", ".join(
        sorted(event.__name__ for event in reaction.emits)
        + sorted(f"{event.__name__} (of others)" for event in reaction.emits_of_others)
    )
    undo = "**undo** " if reaction.compensates else ""
    return f"| {handled} | {undo}`{reaction.name}`: {reaction.purpose} | {emits or '-'} |"
