"""The stack's commands. `make help` lists them with their everyday names.

Each imports what it needs when it runs: the broker's and HTTP's libraries take longer to import
than it takes to stop a part.
"""

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from infra.stack import config, processes
from infra.stack.config import PARTS, SERVICES, Stack, StackError
from infra.stack.waiting import wait_until

_console = Console()
_START_SECONDS = 30.0


def main() -> int:
    """Run one command. What a person has to put right is said in a sentence."""
    arguments = _parser().parse_args()
    command: Callable[[argparse.Namespace], int | None] = arguments.run
    try:
        return command(arguments) or 0
    except StackError as problem:
        Console(stderr=True).print(str(problem), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(
        name: str, run: Callable[[argparse.Namespace], int | None], explained: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=explained, description=explained)
        added.set_defaults(run=run)
        return added

    command("up", _up, "start everything; return when it is healthy and seeded")
    command("down", _down, "stop everything; no process and no port is left")
    command("reset", _reset, "throw the state away and start afresh")
    command("status", _status, "what runs, since when, healthy or not, and the consumers' lag")
    command("env", _env, "the addresses of what runs, as KEY=value lines")
    command("seed", _seed, "the first products and wallets; twice changes nothing")
    command("clean", _clean, "remove the state folder and the nats tool's contexts of this stack")
    for name, run, explained in (
        ("stop", _stop, "stop one part; it stays down"),
        ("start", _start, "start one part that was stopped"),
        ("kill", _kill, "kill one part with signal 9; the supervisor brings it back"),
    ):
        command(name, run, explained).add_argument("part", choices=PARTS)
    for name, run, explained in (
        ("quarantine", _quarantine, "let a service whose database was restored only listen"),
        ("release", _release, "let it speak again"),
    ):
        command(name, run, explained).add_argument("part", choices=SERVICES)
    shown = command("logs", _logs, "the last lines of the logs; follows them in a terminal")
    shown.add_argument("--service", choices=PARTS)
    return parser


def _up(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    _print_addresses(lifecycle.up(_say))


def _down(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    lifecycle.down(_say)


def _reset(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    _print_addresses(lifecycle.reset(_say))


def _status(_: argparse.Namespace) -> int:
    from infra.stack import status

    return 0 if status.show(_running(), _console) else 1


def _env(_: argparse.Namespace) -> None:
    from infra.stack import addresses

    for name, value in addresses.values(_running()).items():
        print(f"{name}={value}")


def _seed(_: argparse.Namespace) -> None:
    from infra.stack import seed

    seed.seed(_running())
    _say("Seeded.")


def _clean(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    lifecycle.clean(_say)


def _stop(arguments: argparse.Namespace) -> None:
    processes.stop(_running(), arguments.part)
    _say(f"{arguments.part} is stopped. Start it with: make start SERVICE={arguments.part}")


def _start(arguments: argparse.Namespace) -> None:
    stack, part = _running(), arguments.part
    _start_and_wait(stack, part)
    _say(f"{part} runs.")


def _kill(arguments: argparse.Namespace) -> None:
    pid = processes.kill(_running(), arguments.part)
    _say(f"Killed {arguments.part} (process {pid}). The supervisor starts it again: make status")


def _quarantine(arguments: argparse.Namespace) -> None:
    stack, part = _running(), arguments.part
    config.recovery_marker(stack, part).touch()
    _restart(stack, part)
    _say(f"{part} hears the whole stream again and says nothing. Look at: make audit")
    _say(f"Then let it speak with: make release SERVICE={part}")


def _release(arguments: argparse.Namespace) -> None:
    stack, part = _running(), arguments.part
    config.recovery_marker(stack, part).unlink(missing_ok=True)
    _restart(stack, part)
    _say(f"{part} is released.")


def _restart(stack: Stack, part: str) -> None:
    processes.stop(stack, part)
    _start_and_wait(stack, part)


def _start_and_wait(stack: Stack, part: str) -> None:
    from infra.stack import health

    processes.start(stack, part)
    if not wait_until(lambda: health.alive(stack, part), _START_SECONDS):
        raise StackError(f"{part} does not answer. Look at: make logs SERVICE={part}")


def _logs(arguments: argparse.Namespace) -> None:
    from infra.stack import logs

    logs.show(_recorded(), arguments.service)


def _recorded() -> Stack:
    """The stack of this folder, running or stopped."""
    return config.recorded(config.state_dir()) or config.from_environment()


def _running() -> Stack:
    stack = config.recorded(config.state_dir())
    if stack is None or not processes.answers(stack):
        raise StackError("The stack is not running. Run: make up")
    return stack


def _print_addresses(stack: Stack) -> None:
    _say("")
    simulated = " (a simulator)"
    lines = {
        service: f"{stack.url(service)}  (API page: {stack.url(service)}/schema)"
        for service in SERVICES
    } | {
        "nats": f"nats://127.0.0.1:{stack.ports['nats']}  (users and passwords: make env)",
        "redis": stack.redis_url or "off",
        "gateway": stack.gateway_url + simulated * stack.simulates_gateway,
        "platform": stack.platform_url + simulated * stack.simulates_platform,
        "state": str(stack.state_dir),
    }
    for name, line in lines.items():
        _say(f"{name:>12}  {line}")
    _say("\nmake status, make logs, make trace ORDER=..., make down")


def _say(line: str) -> None:
    _console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
