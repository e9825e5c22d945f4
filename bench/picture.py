"""Throughput and latency against offered load, drawn from docs/performance.json.

    .bench/venv/bin/python -m bench.picture docs/performance.json docs

Runs in the peers' environment, the only one with matplotlib.
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt


def draw(figures: Path, docs: Path) -> None:
    offered = json.loads(figures.read_text())["offered"]
    results = [*offered["curve"], offered["overload"]["result"]]
    rates = [each["offered_per_second"] for each in results]
    mpl.rcParams |= {"svg.hashsalt": "performance", "font.size": 10}
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 6))
    above.plot(rates, rates, ":", color="grey", label="offered")
    above.plot(rates, [each["per_second"] for each in results], "o-", label="COMPLETED")
    above.set_ylabel("orders/s")
    above.legend()
    for name, what in (("order", "POST to COMPLETED"), ("post", "POST to 202")):
        for share, style in (("p50", "o-"), ("p99", "o--")):
            values = [each[name][share] for each in results]
            below.plot(rates, values, style, label=f"{what}, {share}")
    below.set_yscale("log")
    below.set_ylabel("ms")
    below.set_xlabel("orders/s offered")
    below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(docs / "performance.svg", metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
