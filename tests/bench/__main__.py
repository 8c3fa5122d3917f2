"""``python -m tests.bench``: measures, prints a table, writes build/bench.json.

Exit code 0 only if every goal was met. Names on the command line choose: pixels, service, quality,
fits, rendering, or single rows (augment, get_job_p95, ...). ``--full`` submits for 60 s instead of
10, and measures the memory of quality metrics at 50,000 images as well (a quarter of an hour).
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.db.migrate import upgrade
from core.embedded.servers import Servers
from tests.bench.experiments import ROWS as EXPERIMENTS
from tests.bench.fits import ROWS as FITS
from tests.bench.measure import Row
from tests.bench.pixels import Bench
from tests.bench.quality import ROWS as QUALITY
from tests.bench.rendering import ROWS as RENDERING
from tests.bench.service import ROWS, rows
from tests.bench.stack import Stack

OUT = Path("build/bench.json")
PARTS = ("pixels", "service", "quality", "fits", "rendering")


def measure(folder: Path, names: list[str], full: bool) -> Iterator[Row]:
    pixels = Bench.ROWS if "pixels" in names else [n for n in Bench.ROWS if n in names]
    service = ROWS if "service" in names else [name for name in ROWS if name in names]
    if pixels:
        yield from Bench(folder).rows(list(pixels))
    for part, found in (
        ("quality", QUALITY),
        ("fits", FITS | EXPERIMENTS),
        ("rendering", RENDERING),
    ):
        for name, row in found.items():
            if part in names or name in names:
                yield row(full)
    if service:
        yield from measure_service(folder, service, full)


def measure_service(folder: Path, wanted: Iterable[str], full: bool) -> Iterator[Row]:
    (folder / "service").mkdir()
    with Servers(folder / "servers") as servers:
        upgrade(servers.database_url)
        stack = Stack(servers.database_url, servers.redis_url, folder / "service")
        measures = rows(full)
        try:
            for name in wanted:
                yield measures[name](stack)
        finally:
            stack.close()


def show(measured: list[Row]) -> None:
    table = Table("name", "value", "against", "ratio", "goal", "ok")
    for row in measured:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}x"
        met = "yes" if row.ok else "NO"
        table.add_row(row.name, f"{row.value:.4g} {row.unit}", row.against, ratio, row.goal, met)
    Console(width=160).print(table)


def main() -> int:
    known = {*PARTS, *Bench.ROWS, *ROWS, *QUALITY, *FITS, *EXPERIMENTS, *RENDERING}
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(sorted(known)))
    parser.add_argument("--full", action="store_true", help="longer and larger")
    given = parser.parse_args()
    if unknown := set(given.names) - known:
        parser.error(f"unknown names {sorted(unknown)}; known: {', '.join(sorted(known))}")
    # `timeout` and process managers: leave by the way that ends the servers and workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="dermsynth-bench-") as folder:
        measured = []
        for row in measure(Path(folder), given.names or list(PARTS), given.full):
            print(f"{row.name}: {row.value:.4g} {row.unit} ({row.against})", flush=True)
            measured.append(row)
    show(measured)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([asdict(row) for row in measured], indent=1) + "\n")
    return 0 if all(row.ok for row in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
