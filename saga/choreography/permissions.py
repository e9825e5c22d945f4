"""The broker's users, derived from the choreography: each service may publish only what it says.

Passwords are not here: nats-server reads them from the environment. What each line is for:

- a service says its own events, and nothing else can reach a stream under its name;
- it makes the streams it uses (making one that exists changes nothing), and its own durable
  consumers, but can neither change nor delete a stream, nor touch another service's consumer;
- replies come to an inbox of its own, which no other user may subscribe to;
- the observer reads everything and changes nothing: with all of `$JS.API.>` it could rewrite a
  consumer's filter and make a service deaf.
"""

from collections.abc import Iterable

from events.contract import SUBJECT_PREFIX, Event
from saga.envelope import subject_of
from saga.reactions import Reactions

_OBSERVER_PUBLISHES = [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.API.DIRECT.GET.>",
]
_OBSERVER_SUBSCRIBES = ["saga.>", "catalog.>", "_INBOX.>"]


def inbox_prefix(user: str) -> str:
    """Where a service's replies arrive. Not below `_INBOX.`, which the observer may read."""
    return f"_INBOX_{user}"


def users_conf(registries: Iterable[Reactions]) -> str:
    """The accounts block that infra/nats.conf includes."""
    users = [_user(r.service, publishes(r), subscribes(r)) for r in registries]
    users.append("      { user: admin, password: $NATS_PASSWORD_ADMIN }")
    users.append(_user("observer", _OBSERVER_PUBLISHES, _OBSERVER_SUBSCRIBES))
    return "\n".join(
        [
            "# Written by `make choreography` from the services' type hints; don't edit it.",
            "# The reason for each line stands in saga/choreography/permissions.py.",
            "accounts {",
            "  SAGA {",
            "    jetstream: enabled",
            "    users: [",
            *users,
            "    ]",
            "  }",
            "  SYS {",
            "    users: [{ user: sys, password: $NATS_PASSWORD_SYS }]",
            "  }",
            "}",
            "",
        ]
    )


def publishes(registry: Reactions) -> list[str]:
    """The subjects that a service may publish to."""
    service = registry.service
    subjects = [subject_of(event) for event in _ordered(registry.emits)]
    for stream in sorted({event.stream for event in registry.emits | registry.handles}):
        subjects += [f"$JS.API.STREAM.CREATE.{stream}", f"$JS.API.STREAM.INFO.{stream}"]
        subjects += [f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>"]
        subjects += [f"$JS.API.STREAM.MSG.GET.{stream}"]
    for stream in sorted({event.stream for event in registry.handles}):
        subjects += [
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}",
            f"$JS.API.CONSUMER.CREATE.{stream}.{service}.>",
            f"$JS.API.CONSUMER.INFO.{stream}.{service}",
            f"$JS.API.CONSUMER.DELETE.{stream}.{service}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{service}",
            f"$JS.ACK.{stream}.{service}.>",
        ]
    return subjects


def subscribes(registry: Reactions) -> list[str]:
    """Its replies, and as it goes by what it says, hears or follows (an order, up to its end)."""
    passing = [subject_of(event) for event in _ordered(registry.emits | registry.handles)]
    followed = [f"{SUBJECT_PREFIX[stream]}.*.*" for stream in sorted(registry.follows)]
    return [f"{inbox_prefix(registry.service)}.>", *passing, *followed]


def _ordered(events: Iterable[type[Event]]) -> list[type[Event]]:
    return sorted(events, key=lambda event: event.__name__)


def _user(name: str, publish: Iterable[str], subscribe: Iterable[str]) -> str:
    return "\n".join(
        [
            f"      {{ user: {name}, password: $NATS_PASSWORD_{name.upper()}, permissions: {{",
            f"          publish: {_list(publish)}",
            f"          subscribe: {_list(subscribe)}",
            "      } }",
        ]
    )


def _list(subjects: Iterable[str]) -> str:
    return "[\n" + "".join(f'            "{subject}"\n' for subject in subjects) + "          ]"
