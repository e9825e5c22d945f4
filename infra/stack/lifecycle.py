"""Starting and stopping the whole stack."""

from collections.abc import Callable

from infra.stack import (
    addresses,
    config,
    folder,
    health,
    logs,
    nats_cli,
    passwords,
    pids,
    processes,
)
from infra.stack.config import Stack, StackError
from infra.stack.waiting import wait_until

_READY_SECONDS = 60.0
# Longer than the supervisor gives all parts together (infra/supervisord.conf, stopwaitsecs).
_SHUT_DOWN_SECONDS = 60.0
_PATIENCE_SECONDS = 10.0

Say = Callable[[str], None]


def up(say: Say) -> Stack:
    """Start what does not run yet; return when everything is healthy and seeded."""
    from infra.stack import seed

    with folder.exclusive(config.state_dir()):
        stack = _running() or _start_fresh(say)
        for part in stack.parts:
            processes.start(stack, part)
        _wait_until_ready(stack, say)
        seed.seed(stack)
        for line in nats_cli.write_contexts(stack):
            say(line)
        return stack


def down(say: Say) -> None:
    """Stop everything, whatever state it is in, and make sure that it is gone."""
    state_dir = config.state_dir()
    if not (state_dir / config.MARKER).exists():
        say("The stack is not running.")
        return
    with folder.exclusive(state_dir):
        _stop(config.recorded(state_dir), say)


def reset(say: Say) -> Stack:
    """Throw the state away and start afresh."""
    state_dir = config.state_dir()
    with folder.exclusive(state_dir):
        _stop(config.recorded(state_dir), say)
        folder.empty(state_dir)
    return up(say)


def clean(say: Say) -> None:
    """Stop everything and remove all that the stack made outside its code."""
    state_dir = config.state_dir()
    down(say)
    nats_cli.remove_contexts(config.from_environment())
    if (state_dir / config.MARKER).exists():
        with folder.exclusive(state_dir):
            folder.empty(state_dir)
            (state_dir / config.MARKER).unlink()
        state_dir.rmdir()


def _running() -> Stack | None:
    """The stack that runs on this folder. Refuses to answer for one on other ports."""
    stack = config.recorded(config.state_dir())
    if stack is None or not processes.answers(stack):
        return None
    wanted = config.from_environment().ports
    other = [name for name, port in wanted.items() if port not in _asked(stack, name)]
    if other:
        names = ", ".join(f"{config.variable(name)}={stack.ports[name]}" for name in other)
        raise StackError(f"The stack already runs, with {names}. Run `make down` first.")
    return stack


def _asked(stack: Stack, name: str) -> set[int]:
    """A port that was not asked for in words is the default one: whatever runs is fine then."""
    return {stack.ports[name], config.DEFAULT_PORTS[name]}


def _start_fresh(say: Say) -> Stack:
    stack = config.from_environment()
    # What a dead supervisor left behind would hold the ports and the state.
    _end_strays(stack, say)
    addresses.refuse_taken_ports(stack)
    folder.prepare(stack)
    passwords.load_or_make(stack.state_dir)
    config.record(stack)
    if stack.redis_url is None:
        say(
            "redis-server was not found. The stack runs without it: stock reads come from memory "
            "and database, and there is no gate for hot products."
        )
    say(f"Starting {', '.join(stack.parts)} ...")
    processes.launch_supervisor(stack)
    return stack


def _wait_until_ready(stack: Stack, say: Say) -> None:
    late = health.wait_until_ready(stack, stack.parts, _READY_SECONDS)
    if not late:
        return
    for part in late:
        say(f"--- the end of {stack.log(part)}\n{logs.tail(stack.log(part), lines=20)}")
    raise StackError(
        f"Not ready after {_READY_SECONDS:.0f} s: {', '.join(late)}. The rest is left running. "
        f"Read on with `make logs SERVICE={late[0]}`, or stop everything with `make down`."
    )


def _stop(stack: Stack | None, say: Say) -> None:
    found = stack or config.from_environment()
    if pids.all_alive(found.state_dir):
        say("Stopping the stack ...")
        if stack and processes.answers(stack):
            processes.shut_down(stack)
            wait_until(lambda: not pids.all_alive(stack.state_dir), _SHUT_DOWN_SECONDS)
        _end_strays(found, say=lambda _: None)
    _refuse_leftovers(found, stack, say)
    config.forget(found)


def _end_strays(stack: Stack, say: Say) -> None:
    """End what no supervisor looks after. The supervisor itself first, or it starts them again."""
    strays = sorted(pids.all_alive(stack.state_dir), key=lambda name: name != pids.SUPERVISOR)
    for name in strays:
        say(f"Stopping {name}, which an earlier start left behind ...")
        pids.end(stack.state_dir, name, command_timeout_seconds=_PATIENCE_SECONDS)


def _refuse_leftovers(found: Stack, stack: Stack | None, say: Say) -> None:
    """Nothing of the stack may run now, nor any of its ports be open."""
    left = pids.all_alive(found.state_dir)
    if left:
        named = ", ".join(f"{name} (process {pid})" for name, pid in left.items())
        raise StackError(f"These did not stop, not even when killed: {named}.")
    open_ports = [port for port in found.own_ports.values() if addresses.listens(port)]
    if stack and open_ports:
        raise StackError(
            f"Every process of the stack has ended, but something else listens on {open_ports}."
        )
    say("Stopped: no process and no port is left." if stack else "The stack is not running.")
