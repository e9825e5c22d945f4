"""Starting and stopping the whole stack."""

import asyncio
import os
import time
from collections.abc import Callable

import msgspec

from infra.stack import (
    addresses,
    config,
    folder,
    logs,
    nats_cli,
    passwords,
    pids,
    processes,
    settings,
    starting,
)
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_READY_SECONDS = 60.0
# Longer than the supervisor waits for all parts together (infra/supervisord.conf, stopwaitsecs).
_SHUT_DOWN_SECONDS = 60.0
_END_SECONDS = 10.0

Print = Callable[[str], None]


def up(print_line: Print) -> Stack:
    """Start what does not run yet; return when everything is healthy and seeded."""
    from infra.stack import seed

    with folder.exclusive(config.state_dir()):
        since = time.time()
        running = _running()
        stack = running or _start_fresh(print_line)
        try:
            for part in stack.parts:
                processes.start(stack, part)
            _wait_until_ready(stack, since, print_line)
            _apply_stream_settings(stack, print_line)
        except starting.RefusedToStart:
            if not running:  # so that the next `up`, with another setting, starts afresh
                _stop(stack, lambda _: None)
            raise
        seed.seed(stack)
        folder.mark_seeded(stack)
        for line in nats_cli.write_contexts(stack):
            print_line(line)
        return stack


def down(print_line: Print) -> None:
    """Stop everything, in whatever state it is. Raises StackError when a process is left."""
    state_dir = config.state_dir()
    if not (state_dir / config.MARKER).exists():
        print_line("The stack is not running.")
        return
    with folder.exclusive(state_dir):
        _stop(config.recorded(state_dir), print_line)


def reset(print_line: Print) -> Stack:
    """Delete the state, backups excepted, and start with the first data."""
    state_dir = config.state_dir()
    with folder.exclusive(state_dir):
        _stop(config.recorded(state_dir), print_line)
        folder.empty(state_dir, "backups")
    return up(print_line)


def clean(print_line: Print) -> None:
    """Stop everything and remove all that the stack created."""
    state_dir = config.state_dir()
    down(print_line)
    nats_cli.remove_contexts(config.from_environment())
    if (state_dir / config.MARKER).exists():
        with folder.exclusive(state_dir):
            folder.empty(state_dir)
            (state_dir / config.MARKER).unlink()
        state_dir.rmdir()


def _running() -> Stack | None:
    """The stack that runs on this folder. Raises StackError for one on other ports."""
    stack = config.recorded(config.state_dir())
    if stack is None or not processes.answers(stack):
        return None
    described = config.from_environment()
    wanted = described.ports
    if os.environ.get("CLUSTER") and described.cluster != stack.cluster:
        raise StackError(
            f"The stack already runs, with CLUSTER={stack.cluster}. Run `make down` first."
        )
    other = [name for name, port in wanted.items() if port not in _matching_ports(stack, name)]
    named = [f"{config.variable(name)}={stack.ports[name]}" for name in other]
    named += settings.differing(settings.given(os.environ), stack.settings)
    if named:
        names = ", ".join(named)
        raise StackError(f"The stack already runs, with {names}. Run `make down` first.")
    return stack


def _matching_ports(stack: Stack, name: str) -> set[int]:
    """A port that was not set is the default one, and matches any port."""
    return {stack.ports[name], (config.DEFAULT_PORTS | config.CLUSTER_PORTS)[name]}


def _start_fresh(print_line: Print) -> Stack:
    settings.refuse_wrong(os.environ)
    given = settings.given(os.environ)
    stack = msgspec.structs.replace(config.from_environment(), settings=given)
    # Processes that outlived their supervisor hold the ports and the databases.
    _end_leftovers(stack, print_line)
    addresses.refuse_taken_ports(stack)
    folder.prepare(stack)
    passwords.load_or_make(stack.state_dir)
    config.record(stack)
    if stack.redis_url is None:
        print_line(
            "redis-server was not found. The stack runs without it: stock reads come from memory "
            "and database, and there is no hot-product admission."
        )
    print_line(f"Starting {', '.join(stack.parts)} ...")
    processes.launch_supervisor(stack)
    return stack


def _wait_until_ready(stack: Stack, since: float, print_line: Print) -> None:
    not_ready = starting.wait_until_ready(stack, since, _READY_SECONDS)
    if not not_ready:
        return
    for part in not_ready:
        print_line(f"--- the end of {stack.log(part)}\n{logs.tail(stack.log(part), lines=20)}")
    raise StackError(
        f"Not ready after {_READY_SECONDS:.0f} s: {', '.join(not_ready)}. The rest still runs. "
        f"Look at `make logs SERVICE={not_ready[0]}`, or stop everything with `make down`."
    )


def _apply_stream_settings(stack: Stack, print_line: Print) -> None:
    """Streams that an earlier start has made keep its settings until they are changed here."""
    from infra.stack import broker

    access = broker.access(stack, "admin")
    changed = asyncio.run(broker.apply_stream_settings(access, stack.replicas, stack.stream_bytes))
    for stream, differences in changed.items():
        print_line(f"The stream {stream} has its new settings: {differences}")


def _stop(stack: Stack | None, print_line: Print) -> None:
    found = stack or config.from_environment()
    if pids.all_alive(found.state_dir):
        print_line("Stopping the stack ...")
        if stack and processes.answers(stack):
            processes.shut_down(stack)
            wait_until(lambda: not pids.all_alive(stack.state_dir), _SHUT_DOWN_SECONDS)
        _end_leftovers(found, print_line=lambda _: None)
    _refuse_leftovers(found, stack, print_line)
    config.forget(found)


def _end_leftovers(stack: Stack, print_line: Print) -> None:
    """End all processes of the stack: the supervisor first, or it starts the others again."""
    leftovers = sorted(pids.all_alive(stack.state_dir), key=lambda name: name != pids.SUPERVISOR)
    for name in leftovers:
        print_line(f"Stopping {name}, which an earlier start left behind ...")
        pids.end(stack.state_dir, name, timeout_seconds=_END_SECONDS)


def _refuse_leftovers(found: Stack, stack: Stack | None, print_line: Print) -> None:
    """Raise StackError when a process of the stack still runs or one of its ports is open."""
    left = pids.all_alive(found.state_dir)
    if left:
        named = ", ".join(f"{name} (process {pid})" for name, pid in left.items())
        raise StackError(f"These did not stop, not even when killed: {named}.")
    open_ports = [port for port in found.own_ports.values() if addresses.listens(port, found.host)]
    if stack and open_ports:
        raise StackError(
            f"Every process of the stack has ended, but something else listens on {open_ports}."
        )
    print_line("Stopped: no process and no port is left." if stack else "The stack is not running.")
