"""`make bench`: every performance goal, measured in one run.

Writes docs/performance.json as it goes, and from it the table and the picture of
docs/performance.md. `--only` measures a part again and keeps the other parts' figures.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec
import uvloop

from bench import compare, growth, hot, machine, offered, report, scale, shop
from bench.peers.servers import PYTHON
from tests.kit.stack import ROOT

FIGURES = ROOT / "docs" / "performance.json"
PARTS = ("compare", "offered", "hot", "scale", "growth")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of alternating measurements")
    parser.add_argument("--seconds", type=float, default=15, help="of each measurement")
    parser.add_argument("--sustained-seconds", type=float, default=60)
    parser.add_argument("--growth-orders", type=int, default=1_000_000)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--report", action="store_true", help="only write the report")
    chosen = parser.parse_args()
    if not chosen.report:
        measure(chosen, chosen.only or PARTS)
    report.write(msgspec.json.decode(FIGURES.read_bytes(), type=report.Figures), ROOT / "docs")
    draw = [str(PYTHON), "-m", "bench.picture", str(FIGURES), str(ROOT / "docs")]
    return subprocess.run(draw, cwd=ROOT, check=False).returncode


def measure(chosen: argparse.Namespace, parts: list[str] | tuple[str, ...]) -> None:
    """Measure the parts. Each one's figures are stored as soon as they are measured."""
    found: dict[str, object] = {}
    if FIGURES.exists():
        found = msgspec.json.decode(FIGURES.read_bytes())
    for part in parts:
        _print(f"--- {part}")
        found[part] = _part(part, chosen)
        found["machine"] = machine.about()
        found["measured_on"] = datetime.now(UTC).date().isoformat()
        FIGURES.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


def _part(part: str, chosen: argparse.Namespace) -> object:
    if part == "compare":
        return compare.compare(chosen.rounds, chosen.seconds, _print)
    if part == "scale":
        return scale.measure(chosen.rounds, chosen.seconds, _print)
    runs: dict[str, Callable[[Mapping[str, str]], object]] = {
        "offered": lambda environment: uvloop.run(
            offered.measure(environment, chosen.seconds, chosen.sustained_seconds, _print)
        ),
        "hot": lambda environment: uvloop.run(hot.measure(environment, _print)),
        "growth": lambda environment: uvloop.run(
            growth.measure(environment, chosen.growth_orders, _print)
        ),
    }
    with shop.stack() as environment:
        return runs[part](environment)


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
