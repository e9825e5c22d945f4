"""Check a choreography, and write what follows from it: its document and the broker's permissions.

python -m saga.choreography            write both files
python -m saga.choreography --check    write nothing; fail on a flaw or a stale file
"""

import argparse
import sys
from pathlib import Path

from saga.choreography.checks import flaws
from saga.choreography.diagram import document
from saga.choreography.graph import Choreography, load
from saga.choreography.permissions import users_conf


def generated(flow: Choreography, arguments: argparse.Namespace) -> dict[Path, str]:
    """The files that follow from the flow, with what they should hold."""
    return {
        arguments.document: document(flow),
        arguments.permissions: users_conf(flow.registries.values()),
    }


def main() -> int:
    sys.path.insert(0, "")  # the participants are packages of the current folder
    arguments = _arguments()
    flow = load(arguments.of)
    complaints = flaws(flow)
    for file, text in generated(flow, arguments).items():
        if file.exists() and file.read_text() == text:
            continue
        if arguments.check:
            complaints.append(f"{file} is stale: run make choreography")
        else:
            file.write_text(text)
            print(f"wrote {file}")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if not complaints:
        names = ", ".join(flow.registries)
        print(f"the choreography of {names} is sound: {len(flow.contract)} events")
    return 1 if complaints else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m saga.choreography",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    parser.add_argument("--of", default="events", help="the package with the contract")
    parser.add_argument("--document", type=Path, default=Path("docs/CHOREOGRAPHY.md"))
    parser.add_argument("--permissions", type=Path, default=Path("infra/nats-users.conf"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
