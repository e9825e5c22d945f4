"""The document of a choreography, written from its graph so that it can't drift."""

from saga.choreography.graph import Choreography
from saga.envelope import subject_of
from saga.event import Event, Part
from saga.reactions import Reaction, Reactions

_HEAD = """\
# The choreography

Written by `make choreography` from the type hints of the services' `reactions.py`; don't edit it.
There is no orchestrator: each service handles events, does its part in its own database, and emits
what it decided. An arrow reads: *producer* -> *consumer*.
"""
_OBSERVERS = "external observers"


def document(flow: Choreography) -> str:
    parts = [
        _HEAD,
        "## The way forward\n",
        _diagram(flow, Part.FORWARD),
        "## When a step fails\n",
        _diagram(flow, Part.FAILURE, Part.UNDONE),
        "## Cancel and time-out\n",
        _diagram(flow, Part.REQUEST, Part.UNDONE),
        "## Events\n",
        _events_table(flow),
    ]
    for registry in flow.registries.values():
        parts += [f"## Reactions of {registry.service}\n", _reactions_table(registry)]
    if reserved := flow.reserved():
        names = ", ".join(f"`{event.__name__}`" for event in reserved)
        parts += ["## Reserved\n", f"In the contract, but not emitted or handled yet: {names}.\n"]
    return "\n".join(parts)


def _diagram(flow: Choreography, *parts: Part) -> str:
    lines = ["```mermaid", "flowchart LR"]
    for event in flow.emitted():
        for producer in flow.producers(event) if event.part in parts else ():
            consumers = flow.consumers(event) or [f"{producer}_observers((({_OBSERVERS})))"]
            lines += [f"    {producer} -- {event.__name__} --> {each}" for each in consumers]
    return "\n".join([*lines, "```\n"])


def _events_table(flow: Choreography) -> str:
    lines = ["| event | subject | producer | consumers | then |", "|---|---|---|---|---|"]
    lines += [_event_row(flow, event) for event in flow.emitted()]
    return "\n".join(lines) + "\n"


def _event_row(flow: Choreography, event: type[Event]) -> str:
    subject = subject_of(event, f"<{event.stream.key}>", "<id>")
    producers = ", ".join(flow.producers(event))
    consumers = ", ".join(flow.consumers(event)) or _OBSERVERS
    then = ", ".join(following.__name__ for following in flow.following(event)) or "-"
    return f"| {event.__name__} | `{subject}` | {producers} | {consumers} | {then} |"


def _reactions_table(registry: Reactions) -> str:
    lines = ["| handles | does | emits |", "|---|---|---|"]
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
    compensation = "**compensation** " if reaction.compensates else ""
    return f"| {handled} | {compensation}`{reaction.name}`: {reaction.purpose} | {emits or '-'} |"
