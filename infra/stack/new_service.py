"""`make service NAME=loyalty [PORT=8187]`: write a new participant's files.

They are copies of `infra/templates`, a service that counts completed orders. The new one is named
in `events/participants.py`, in the import contracts of pyproject.toml and in the tests' table of
routes; what is generated from these is written again.
"""

import argparse
import importlib.util
import keyword
import re
import subprocess
import sys
from pathlib import Path

from events.participants import PARTICIPANTS
from infra.stack.config import DEFAULT_PORTS, NATS_USERS, PARTS, ROOT, StackError

TEMPLATE_NAME = "newservice"
NAME_PATTERN = re.compile("[a-z][a-z0-9]{1,29}")
FIRST_PORT = 8187
LAST_PORT = 65_535

_GENERATORS = ("saga.choreography", "infra.documents")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make service", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--port", type=int, default=_free_port())
    arguments = parser.parse_args()
    try:
        create(arguments.name, arguments.port)
    except StackError as problem:
        print(problem, file=sys.stderr)
        return 1
    name = arguments.name
    print(
        f"wrote {name}/ and tests/unit/test_{name}.py, on port {arguments.port}\n"
        f"next: the events that it handles are in {name}/reactions.py (docs/extending.md); then\n"
        "make check && make down up"
    )
    return 0


def create(name: str, port: int) -> None:
    """Write the files of a service, and name it. Raises StackError before anything is written."""
    _check_name(name)
    _check_port(port)
    edits = _edits(name, port)
    written = _copy_template(name)
    for file, text in edits.items():
        file.write_text(text)
    _run("ruff", "check", "--quiet", "--fix", *written)  # the imports' order depends on the name
    _run("ruff", "format", "--quiet", *written)
    for module in _GENERATORS:
        _run(module)


def _check_name(name: str) -> None:
    example = "Choose another: make service NAME=loyalty"
    if not NAME_PATTERN.fullmatch(name):
        raise StackError(
            f"{name!r} can't be a service's name: use 2 to 30 small letters and digits, a letter "
            f"first. {example}"
        )
    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name == TEMPLATE_NAME:
        raise StackError(f"{name!r} is a word of Python's or of this command. {example}")
    if name in {*PARTS, *NATS_USERS} or importlib.util.find_spec(name) is not None:
        raise StackError(f"The name {name!r} is taken. {example}")


def _check_port(port: int) -> None:
    example = f"Choose another: PORT={_free_port()}"
    if not 1024 <= port <= LAST_PORT:
        raise StackError(f"{port} can't be a service's port: use 1024 to {LAST_PORT}. {example}")
    if port in DEFAULT_PORTS.values():
        owner = next(name for name, taken in DEFAULT_PORTS.items() if taken == port)
        raise StackError(f"Port {port} is taken by {owner}. {example}")


def _free_port() -> int:
    taken = DEFAULT_PORTS.values()
    return next(port for port in range(FIRST_PORT, LAST_PORT) if port not in taken)


def _copy_template(name: str) -> list[str]:
    """Copy the files under the service's name. Returns their paths."""
    templates = ROOT / "infra" / "templates"
    target = ROOT / "tests" / "unit" / f"test_{name}.py"
    files = {templates / f"test_{TEMPLATE_NAME}.py": target}
    for file in sorted((templates / TEMPLATE_NAME).glob("*.py")):
        files[file] = ROOT / name / file.name
    (ROOT / name).mkdir()
    for template, file in files.items():
        text = template.read_text().replace(TEMPLATE_NAME, name)
        file.write_text(text.replace(TEMPLATE_NAME.capitalize(), name.capitalize()))
    return [str(file) for file in files.values()]


def _edits(name: str, port: int) -> dict[Path, str]:
    """The files that name every service, with the new one in them."""
    last = list(PARTICIPANTS)[-1]
    places = {
        "events/participants.py": [
            (r"(PARTICIPANTS = \{\n(?: .*\n)*)", rf'\1    "{name}": {port},\n'),
        ],
        "pyproject.toml": [
            (rf'(root_packages = \[[^]]*"{last}",)', rf'\1 "{name}",'),
            (rf"(layers = \[[^]]* \| {last})", rf"\1 | {name}"),
        ],
        "tests/e2e/api/routes.py": [
            (
                r"(ROUTES = \(\n(?:.*\n)*?)(    \*\(\n)",
                rf'\1    Route("{name}", "GET", "/api/v1/{name}/{{}}"),\n\2',
            ),
        ],
    }
    return {ROOT / file: _edited(ROOT / file, changes) for file, changes in places.items()}


def _edited(file: Path, changes: list[tuple[str, str]]) -> str:
    text = file.read_text()
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, count=1)
        if not count:
            raise StackError(f"{file} has no place that matches {pattern!r}: nothing was written.")
    return text


def _run(*command: str) -> None:
    """Run a Python module. Its own output says what is wrong."""
    if subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode:
        raise StackError(f"python -m {' '.join(command)} failed; the files are written.")


if __name__ == "__main__":
    sys.exit(main())
