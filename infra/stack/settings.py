"""The variables with which a stack was started, so that `up` can name those that differ now."""

import re
from collections.abc import Iterator, Mapping
from importlib import import_module

from chassis.settings import Settings, load, variables
from events.participants import PARTICIPANTS
from infra.stack.config import StackError
from saga.errors import ConfigurationError

OF_THE_STACK = {"NATS_SYNC_INTERVAL": "2m"}
# The stack sets these for each part by itself.
_INTERVAL = re.compile(r"always|([0-9]+(ns|us|ms|s|m|h))+")
_OWN = {"NATS_URL", "INSTANCE", "QUARANTINE"}
# What such a variable holds is not shown.
_SECRET = ("URL", "TOKEN", "KEY", "PASSWORD", "SECRET")


def given(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings of services and broker that are set here."""
    return {name: environment[name] for name in sorted(_defaults()) if environment.get(name)}


def differing(now: Mapping[str, str], recorded: Mapping[str, str]) -> Iterator[str]:
    """What is set now, and otherwise than it was. A variable that is not set matches any value."""
    defaults = _defaults()
    for name, value in now.items():
        was = recorded.get(name)
        if (was or defaults[name]) != value:
            shown = "another one" if name.endswith(_SECRET) else was
            yield f"{name}={shown}" if was else f"no {name}"


def refuse_wrong(environment: Mapping[str, str]) -> None:
    """Raise StackError for a value that a service or the broker would refuse."""
    interval = environment.get("NATS_SYNC_INTERVAL") or OF_THE_STACK["NATS_SYNC_INTERVAL"]
    if not _INTERVAL.fullmatch(interval):
        raise StackError(f"NATS_SYNC_INTERVAL={interval}: use a time such as 2m or 10s, or always")
    own = {name: value for name, value in environment.items() if name not in _OWN}
    for service, port in PARTICIPANTS.items():
        try:
            load(_kind(service), service, port, own)
        except ConfigurationError as error:
            raise StackError(f"{service}: {error.message}") from error


def _kind(service: str) -> type[Settings]:
    kind: type[Settings] = import_module(f"{service}.settings").Settings
    return kind


def _defaults() -> dict[str, str]:
    """Each variable, with its default as the documents show it."""
    every = {
        variable.of(service): variable.shown_default
        for service in PARTICIPANTS
        for _, variable in variables(_kind(service))
    }
    kept = {n: default for n, default in every.items() if n not in _OWN and n[-5:] != "_PORT"}
    return kept | OF_THE_STACK
