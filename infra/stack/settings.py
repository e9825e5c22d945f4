"""The variables with which a stack was started, so that `up` can name those that differ now."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from chassis.settings import variables
from events.participants import PARTICIPANTS

OF_THE_STACK = {"NATS_SYNC_INTERVAL": "2m"}
# The stack sets these for each part by itself.
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


def _defaults() -> dict[str, str]:
    """Each variable, with its default as the documents show it."""
    kinds = {each: import_module(f"{each}.settings").Settings for each in PARTICIPANTS}
    every = {
        variable.of(service): variable.shown_default
        for service, kind in kinds.items()
        for _, variable in variables(kind)
    }
    kept = {n: default for n, default in every.items() if n not in _OWN and n[-5:] != "_PORT"}
    return kept | OF_THE_STACK
