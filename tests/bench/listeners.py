"""A thousand listeners on one API process: how late does an event reach the last of them?

``python -m tests.bench.listeners`` is the listening side, a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from datetime import datetime

from core.db.repositories import jobs
from tests.bench.measure import Row, bound_row
from tests.bench.process import cpu_seconds, resident_bytes
from tests.bench.stack import Stack

LISTENERS, JOBS, ROUNDS = 1000, 50, 5


def sse_delay(stack: Stack) -> Row:
    """The longest way of any event, from its time in the database to any of 1,000 listeners."""
    stack.stop_workers()
    paths = [stack.new_job() for _ in range(JOBS)]
    used, memory = cpu_seconds(stack.api.pid), resident_bytes(stack.api.pid)
    side = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.listeners"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert side.stdin is not None and side.stdout is not None  # for the type checker: pipes
    print(json.dumps([stack.port, stack.key, paths]), file=side.stdin, flush=True)
    connected = json.loads(side.stdout.readline())
    grown = (resident_bytes(stack.api.pid) - memory) / LISTENERS / 1024
    for number in range(ROUNDS):
        with stack.harness.sessions.begin() as session:
            for path in paths:
                jobs.add_event(session, path.rpartition("/")[2], "progress", {"round": number})
        time.sleep(1)
    delays = json.loads(side.stdout.readline())
    side.wait(30)
    used = cpu_seconds(stack.api.pid) - used
    note = (
        f"{LISTENERS} listeners, {len(delays)} events, connected in {connected:.1f} s, "
        f"{grown:.0f} KiB each, {used:.1f} s CPU"
    )
    whole = len(delays) == LISTENERS * ROUNDS
    return bound_row("sse_delay", max(delays), "s", 2, note=note, also=whole)


async def _listen(port: int, key: str, path: str, delays: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [f"GET {path}/events?after=1 HTTP/1.1", "Host: localhost", "Accept: text/event-stream"]
    writer.write("\r\n".join([*lines, f"Authorization: Bearer {key}", "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        raise SystemExit(head.decode("latin-1"))
    yield_first = await reader.readuntil(b"retry: 1000\n\n")
    assert yield_first
    _ready.release()
    for _ in range(ROUNDS):
        event = await reader.readuntil(b"\n\n\r\n")
        data = next(line for line in event.split(b"\n") if line.startswith(b"data: "))
        at = datetime.fromisoformat(json.loads(data[6:])["at"])
        delays.append(time.time() - at.timestamp())
    writer.close()


_ready = asyncio.Semaphore(0)


async def _side(port: int, key: str, paths: list[str]) -> None:
    start, delays = time.perf_counter(), list[float]()
    tasks = [
        asyncio.create_task(_listen(port, key, paths[n % len(paths)], delays))
        for n in range(LISTENERS)
    ]
    for _ in range(LISTENERS):
        await _ready.acquire()
    print(json.dumps(time.perf_counter() - start), flush=True)
    await asyncio.gather(*tasks)
    print(json.dumps(delays), flush=True)


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_side(*json.loads(sys.stdin.readline())))


if __name__ == "__main__":
    main()
