"""A lean load: raw HTTP/1.1 over kept connections, in a process of its own, at an even pace.

``python -m tests.bench.load`` reads one JSON object from stdin and writes one to stdout. The peer
shares the cores with the server, so it must cost little: no HTTP library, no thread. Times run from
when a request was due, not from when it could be sent (a slow server cannot hide behind its load).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Wish:
    """What to send: ``count`` requests, ``per_second`` (0: one after the other)."""

    port: int
    path: str
    key: str
    count: int
    per_second: float
    method: str = "GET"
    body: str = ""
    connections: int = 16
    headers: dict[str, str] = field(default_factory=dict)

    def repeated(self, count: int) -> Wish:
        """Return the same wish with another number of requests."""
        return replace(self, count=count)

    def request(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"Authorization: Bearer {self.key}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of each request, and how many answers had which status (0: no answer)."""

    seconds: list[float]
    statuses: dict[str, int]

    def errors(self) -> int:
        return sum(n for status, n in self.statuses.items() if not status.startswith("2"))


class Load:
    """Sends one wish."""

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._request = wish.request()
        self._idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
        self.seconds: list[float] = []
        self.statuses: dict[str, int] = {}

    async def run(self) -> None:
        self._idle = asyncio.Queue()
        for _ in range(self._wish.connections if self._wish.per_second else 1):
            self._idle.put_nowait(await asyncio.open_connection("127.0.0.1", self._wish.port))
        start, sent = time.perf_counter(), []
        for number in range(self._wish.count):
            if not self._wish.per_second:
                await self._one(time.perf_counter())
                continue
            due = start + number / self._wish.per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent.append(asyncio.create_task(self._one(due)))
        await asyncio.gather(*sent)

    async def _one(self, due: float) -> None:
        reader, writer = await self._idle.get()
        status = "0"
        try:
            writer.write(self._request)
            status = await self._answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._wish.port)
        self.seconds.append(time.perf_counter() - due)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self._idle.put_nowait((reader, writer))

    async def _answer(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        for line in head:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                await reader.readexactly(int(value))
        return head[0].split()[1]


def run(wish: Wish) -> Measured:
    """Send a wish from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=json.dumps(asdict(wish)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    measured: dict[str, Any] = json.loads(done.stdout)
    return Measured(**measured)


def main() -> None:
    load = Load(Wish(**json.load(sys.stdin)))
    asyncio.run(load.run())
    json.dump({"seconds": load.seconds, "statuses": load.statuses}, sys.stdout)


if __name__ == "__main__":
    main()
