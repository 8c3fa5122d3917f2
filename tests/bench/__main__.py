"""``python -m tests.bench``: measures, prints a table, writes build/bench.json.

Exit code 0 only if every goal was met. Names on the command line choose: pixels, service, or rows
of pixels: features, augment, import.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from core.db.migrate import upgrade
from core.embedded.servers import Servers
from tests.bench.measure import Row
from tests.bench.pixels import Bench

OUT = Path("build/bench.json")
PARTS = ("pixels", "service")


def measure(folder: Path, parts: list[str]) -> Iterator[Row]:
    bench = Bench(folder)
    if "pixels" in parts:
        yield from bench.rows()
    elif rows := [part for part in parts if part in Bench.ROWS]:
        yield from bench.rows(rows)
    if "service" in parts:
        from tests.bench.service import Service

        (folder / "service").mkdir()
        with Servers(folder / "servers") as servers:
            upgrade(servers.database_url)
            service = Service(servers.database_url, servers.redis_url, folder / "service")
            try:
                yield from service.rows(bench.archive)
            finally:
                service.close()


def show(rows: list[Row]) -> None:
    table = Table("name", "value", "against", "ratio", "goal", "ok")
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}x"
        met = "yes" if row.ok else "NO"
        table.add_row(row.name, f"{row.value:.4g} {row.unit}", row.against, ratio, row.goal, met)
    Console(width=140).print(table)


def main() -> int:
    parts = sys.argv[1:] or list(PARTS)
    known = (*PARTS, *Bench.ROWS)
    if unknown := set(parts) - set(known):
        sys.exit(f"unknown parts {sorted(unknown)}; known: {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="dermsynth-bench-") as folder:
        rows = list(measure(Path(folder), parts))
    show(rows)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
