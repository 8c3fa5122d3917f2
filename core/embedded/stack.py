"""The restart parent: servers, migrations, first key, API and workers, kept running.

Whatever dies is started again; SIGTERM or SIGINT stops everything in order; whatever kills this
process takes the others with it, and what might be left is ended by the next start.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from core.cores import available_cores
from core.embedded import leftovers, paths, processes
from core.embedded.errors import EmbeddedFailure
from core.embedded.folder import FolderLock, private_folder, read_json, write_json
from core.embedded.ports import LOOPBACK, free_port
from core.embedded.postgres import PostgresServer
from core.embedded.server import Server
from core.embedded.supervised import Supervised
from core.embedded.valkey import ValkeyServer

READY_SECONDS = 180.0
GIVE_UP_AFTER = 3
"""Ends in a row of one process before the stack was ready once: then it is misconfigured."""
WATCH_SECONDS = 0.2
API_PORTS = range(8000, 8100)
BACKLOG = 1024
"""Callers that may wait while the API starts again; the kernel may allow fewer."""


class StopRequested(BaseException):
    """SIGTERM or SIGINT has come."""


class Stack:
    """One embedded service on one data folder; ``run`` blocks until it is told to stop.

    ``publish``: also write ``build/up.json``, as ``make up`` promises.
    """

    def __init__(self, home: Path, *, port: int | None = None, publish: bool = False) -> None:
        self.home = private_folder(home)
        self._wanted_port = port
        self._state_files = [paths.state(self.home)]
        if publish:
            self._state_files.append(paths.published_state())
        self._lock = FolderLock(paths.lock(self.home))
        self._servers: list[Server] = []
        self._children: list[Supervised] = []
        self._listener: socket.socket | None = None
        self._retry_servers_at = 0.0

    def run(self) -> None:
        """Start everything, say where it is, look after it; returns after an orderly stop."""
        if not self._lock.acquire():
            raise EmbeddedFailure(
                f"A stack runs in {self.home} already (process {self._lock.owner()}).",
                code="embedded_folder_taken",
            )
        with _stop_signals():
            try:
                self._begin()
                self._watch()
            except StopRequested:
                _say("told to stop")
            finally:
                self._end()

    # Start.

    def _begin(self) -> None:
        leftovers.end(lambda: leftovers.marked(self.home), signal.SIGKILL, grace=1.0)
        for folder in (paths.logs(self.home), self.home / "cache"):
            private_folder(folder)
        environment = self._environment(self._start_servers())
        write_json(paths.environment_file(self.home), environment)
        self._prepare(environment)
        port = self._start_service(environment)
        self._announce(f"http://{LOOPBACK}:{port}")

    def _start_servers(self) -> dict[str, str]:
        """Start the servers whose addresses the environment does not name."""
        addresses = {}
        kinds: tuple[tuple[str, type[Server], str], ...] = (
            ("DATABASE_URL", PostgresServer, "postgres"),
            ("REDIS_URL", ValkeyServer, "valkey"),
        )
        for variable, kind, name in kinds:
            if given := os.environ.get(variable):
                addresses[variable] = given
                continue
            server = kind(self.home / name)
            self._servers.append(server)
            addresses[variable] = server.start()
            _say(f"{name} runs as {server.pid} on port {server.port}")
        return addresses

    def _environment(self, addresses: Mapping[str, str]) -> dict[str, str]:
        threads = os.environ.get("DERMSYNTH_THREADS", "0")
        self._slots = processes.slots(available_cores(), int(threads) if threads.isdigit() else 0)
        return processes.environment(self.home, addresses, self._slots)

    def _prepare(self, environment: Mapping[str, str]) -> None:
        """Migrate and make the first key, in a process of its own: this one stays small."""
        ended = subprocess.run(
            [sys.executable, "-m", "core.embedded.prepare", str(paths.key_file(self.home))],
            cwd=paths.checkout(),
            env=os.environ | dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if ended.returncode != 0:
            raise EmbeddedFailure(f"The database could not be prepared: {ended.stderr[-2000:]}")

    def _start_service(self, environment: Mapping[str, str]) -> int:
        listener = self._listen()
        port: int = listener.getsockname()[1]
        for spec in processes.service(listener.fileno(), self._slots.jobs):
            log = paths.logs(self.home) / f"{spec.name}.log"
            child = Supervised(spec, environment, log)
            self._children.append(child)
            child.start()
        deadline = time.monotonic() + READY_SECONDS
        while not (self._children[0].alive() and _ready(port)):
            self._look_after_children()
            for child in self._children:
                if child.ends_in_a_row >= GIVE_UP_AFTER:
                    raise EmbeddedFailure(f"{child.spec.name} does not run: {child.last_words()}")
            if time.monotonic() > deadline:
                words = self._children[0].last_words()
                raise EmbeddedFailure(f"The API was not ready in {READY_SECONDS:g} s: {words}")
            time.sleep(WATCH_SECONDS)
        return port

    def _listen(self) -> socket.socket:
        """Listen on the port asked for, the one of last time, or the first that is free.

        The socket stays open in this process: while the API starts again, callers wait in its queue
        instead of being refused.
        """
        if self._wanted_port is not None:
            if (listener := self._take(self._wanted_port)) is None:
                raise EmbeddedFailure(f"Port {self._wanted_port} is taken by another program.")
            return listener
        path = self.home / "stack.json"
        last = (read_json(path) or {}).get("port")
        candidates: list[int] = [*API_PORTS, free_port()]
        if isinstance(last, int):
            candidates.insert(0, last)
        for port in candidates:
            if (listener := self._take(port)) is not None:
                write_json(path, {"port": port})
                return listener
        raise EmbeddedFailure(f"No port of {API_PORTS.start} to {API_PORTS.stop - 1} is free.")

    def _take(self, port: int) -> socket.socket | None:
        """Return a socket that listens on the port of loopback; None when it is taken."""
        try:
            self._listener = socket.create_server((LOOPBACK, port), backlog=BACKLOG)
        except OSError:
            return None
        return self._listener

    def _announce(self, url: str) -> None:
        state = {
            "url": url,
            "api_key_file": str(paths.key_file(self.home)),
            "pid": os.getpid(),
        }
        for path in self._state_files:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, state)
        _say(f"ready at {url}")

    # Run.

    def _watch(self) -> None:
        while True:
            self._look_after_servers()
            self._look_after_children()
            time.sleep(WATCH_SECONDS)

    def _look_after_servers(self) -> None:
        if time.monotonic() < self._retry_servers_at:
            return
        for server in self._servers:
            if server.alive():
                continue
            try:
                server.start()
                _say(f"{server.name} had ended and runs again as {server.pid}")
            except EmbeddedFailure as error:
                self._retry_servers_at = time.monotonic() + 5.0
                _say(f"{server.name} cannot be started again: {error}")

    def _look_after_children(self) -> None:
        for child in self._children:
            if happened := child.look_after():
                _say(happened)

    # Stop.

    def _end(self) -> None:
        for path in self._state_files:
            if (read_json(path) or {}).get("pid") == os.getpid():
                path.unlink(missing_ok=True)
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.stop()
        leftovers.end(lambda: leftovers.marked(self.home), signal.SIGKILL, grace=1.0)
        for server in reversed(self._servers):
            server.stop()
        if self._listener is not None:
            self._listener.close()
        self._lock.release()
        _say("stopped")


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Turn the first SIGTERM, SIGINT or SIGHUP into StopRequested; ignore later ones."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequested

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", flush=True)
