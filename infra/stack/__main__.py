"""The commands of the local stack. `make help` lists them with their everyday names.

Each imports its libraries when it runs: those of the broker and of HTTP take longer to import than
it takes to stop a part.
"""

import argparse
import sys
from collections.abc import Callable

from infra.stack import config, console, processes
from infra.stack.config import PARTS, SERVICES, Stack

_console = console.CommandConsole()


def main() -> int:
    """Run one command. Returns its exit status."""
    arguments = _parser().parse_args()
    command: Callable[[argparse.Namespace], int | None] = arguments.run
    return console.run(lambda: command(arguments))


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
    command("reset", _reset, "delete the state, and start with the first data")
    command("env", _env, "the addresses of what runs, as KEY=value lines")
    command("seed", _seed, "create the first products and wallets; idempotent")
    command("clean", _clean, "remove the state folder and the nats tool's contexts of this stack")
    for name, run, explained in (
        ("stop", _stop, "stop one part; it stays down"),
        ("start", _start, "start one part that was stopped"),
        ("kill", _kill, "kill one part with signal 9; the supervisor starts it again"),
    ):
        command(name, run, explained).add_argument("part", choices=PARTS)
    for name, run, explained in (
        (
            "quarantine",
            _quarantine,
            "recovery mode: the service replays all events and publishes none",
        ),
    ):
        command(name, run, explained).add_argument("part", choices=SERVICES)
    shown = command("logs", _logs, "the last lines of the logs; follows them in a terminal")
    shown.add_argument("--service", choices=PARTS)
    return parser


def _up(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    _print_addresses(lifecycle.up(_print))


def _down(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    lifecycle.down(_print)


def _reset(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    _print_addresses(lifecycle.reset(_print))


def _env(_: argparse.Namespace) -> None:
    from infra.stack import addresses

    for name, value in addresses.values(processes.running_stack()).items():
        print(f"{name}={value}")


def _seed(_: argparse.Namespace) -> None:
    from infra.stack import seed

    seed.seed(processes.running_stack())
    _print("Seeded.")


def _clean(_: argparse.Namespace) -> None:
    from infra.stack import lifecycle

    lifecycle.clean(_print)


def _stop(arguments: argparse.Namespace) -> None:
    processes.stop(processes.running_stack(), arguments.part)
    _print(f"{arguments.part} is stopped. Start it with: make start SERVICE={arguments.part}")


def _start(arguments: argparse.Namespace) -> None:
    from infra.stack import starting

    stack, part = processes.running_stack(), arguments.part
    starting.start_and_wait(stack, part)
    _print(f"{part} runs.")


def _kill(arguments: argparse.Namespace) -> None:
    pid = processes.kill(processes.running_stack(), arguments.part)
    _print(f"Killed {arguments.part} (process {pid}). The supervisor starts it again: make status")


def _quarantine(arguments: argparse.Namespace) -> None:
    stack, part = processes.running_stack(), arguments.part
    config.recovery_marker(stack, part).touch()
    _restart(stack, part)
    _print(f"{part} is in recovery mode: it replays the streams and publishes nothing.")
    _print(f"End it, once all orders are right, with: make release SERVICE={part}")


def _restart(stack: Stack, part: str) -> None:
    from infra.stack import starting

    processes.stop(stack, part)
    starting.start_and_wait(stack, part)


def _logs(arguments: argparse.Namespace) -> None:
    from infra.stack import logs

    logs.show(_recorded(), arguments.service)


def _recorded() -> Stack:
    """The stack of this folder, running or stopped."""
    return config.recorded(config.state_dir()) or config.from_environment()


def _print_addresses(stack: Stack) -> None:
    _print("")
    simulated = " (a simulator)"
    lines = {
        service: f"{stack.url(service)}  (API page: {stack.url(service)}/schema)"
        for service in SERVICES
    } | {
        "nats": f"{stack.nats_url()}  (users and passwords: make env)",
        "redis": stack.redis_url or "off",
        "gateway": stack.gateway_url + simulated * stack.simulates_gateway,
        "platform": stack.platform_url + simulated * stack.simulates_platform,
        "state": str(stack.state_dir),
    }
    for name, line in lines.items():
        _print(f"{name:>12}  {line}")
    _print("\nmake status, make logs, make trace ORDER=..., make down")


def _print(line: str) -> None:
    _console.print(line, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
