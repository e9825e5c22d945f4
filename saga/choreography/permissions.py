"""The broker's users, derived from the choreography: each service may publish only its own events.

Passwords are not here: nats-server reads them from the environment. The reason for each line:

- a service publishes its own events, and nothing else can reach a stream in its name;
- it creates the streams that it uses (creating one that exists changes nothing), and its own
  durable consumers, but can neither change nor delete a stream, nor touch another's consumer;
- replies arrive at an inbox of its own, which no other user may subscribe to;
- it purges the streams that it erases people from; the broker can't limit that to some subjects;
- the observer changes nothing: with all of `$JS.API.>` it could rewrite a consumer's filter and cut
  a service off from its events. It reads all streams but those with personal data, of which it may
  learn the subjects.
"""

from collections.abc import Iterable

from saga.envelope import subject_of
from saga.event import Event, Stream
from saga.reactions import Reactions

_OBSERVER_PUBLISHES = [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.CONSUMER.INFO.*.*",
    "$JS.API.CONSUMER.LIST.*",
    "$JS.API.CONSUMER.NAMES.*",
]


def inbox_prefix(user: str) -> str:
    """Where a user's replies arrive. Not below `_INBOX.`, which the observer may read."""
    return f"_INBOX_{user}"


def users_conf(registries: Iterable[Reactions]) -> str:
    """The accounts block that infra/nats.conf includes."""
    known = list(registries)
    streams = {stream.name: stream for r in known for stream in r.contract.streams.values()}
    read = [stream for stream in streams.values() if not stream.is_personal]
    observed = [*(f"{stream.prefix}.>" for stream in read), "_INBOX.>"]
    reading = [f"$JS.API.DIRECT.GET.{each.name}{rest}" for each in read for rest in ("", ".>")]
    users = [_user(r.service, publishes(r), subscribes(r)) for r in known]
    users.append("      { user: admin, password: $NATS_PASSWORD_ADMIN }")
    users.append(_user("observer", [*_OBSERVER_PUBLISHES, *reading], observed))
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
    for stream in _names(registry.streams):
        subjects += [f"$JS.API.STREAM.CREATE.{stream}", f"$JS.API.STREAM.INFO.{stream}"]
        subjects += [f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>"]
        subjects += [f"$JS.API.STREAM.MSG.GET.{stream}"]
    subjects += [f"$JS.API.STREAM.PURGE.{each}" for each in _names(registry.erases)]
    for stream in sorted(
        {stream.name for stream in registry.follows} - {*_names(registry.streams)}
    ):
        subjects += [f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.STREAM.MSG.GET.{stream}"]
    for stream in _names(registry.consumed_streams):
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
    """Its replies, and the events that it emits, handles or follows, as they pass."""
    passing = [subject_of(event) for event in _ordered(registry.emits | registry.handles)]
    followed = sorted(stream.subjects for stream in registry.follows)
    return [f"{inbox_prefix(registry.service)}.>", *passing, *followed]


def _names(streams: Iterable[Stream]) -> list[str]:
    return [stream.name for stream in streams]


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
