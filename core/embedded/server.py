"""One server program on loopback: started, watched, restarted on its port, stopped."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from core.embedded import leftovers
from core.embedded.errors import EmbeddedFailure
from core.embedded.folder import FolderLock, private_folder, read_json, write_json
from core.embedded.identity import Identity
from core.embedded.ports import free_port, is_free

PORT_TRIES = 5
READY_SECONDS = 300.0
"""Recovery after a crash may replay a lot; a server that has died is noticed at once."""
LOG_BYTES = 10 * 1024**2


class Server(ABC):
    """A server with a private data folder; one living process may own the folder.

    The server dies with the thread that called ``start``: call it from the main thread. A second
    start on the folder works after any death, and takes the port of before if it is still free.
    """

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    """Names of its processes, to find those that a killed owner left behind."""
    stop_signal: ClassVar[signal.Signals]
    stop_seconds: ClassVar[float] = 30.0
    leftover_seconds: ClassVar[float] = 10.0
    """How long a killed owner's server may take to stop before it is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: FolderLock | None = None
        self._port: int | None = None

    @property
    def url(self) -> str:
        """Return the address with the password in it; EmbeddedFailure before the first start."""
        if self._port is None:
            raise EmbeddedFailure(f"{self.name} in {self.folder} was not started.")
        return self._address(self._port, self.password)

    @property
    def port(self) -> int | None:
        return self._port

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def password(self) -> str:
        """Return the password; the first start makes it."""
        known = self._state().get("password")
        if isinstance(known, str):
            return known
        self._remember(password=secrets.token_urlsafe(24))
        return str(self._state()["password"])

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def alive(self) -> bool:
        """Tell whether the server that this object started still runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server, prepared on first use, and return its address; the same port always."""
        if self.alive():
            return self.url
        self.folder = private_folder(self.folder)
        self._own()
        try:
            self._end_leftovers()
            self._prepare()
            self._start_on_a_port()
            self._finish()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop the server in order, by force when it does not follow; and give up the folder."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(self.stop_signal)
            try:
                process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None
        if self._lock is not None:
            self._end_leftovers()
            self._lock.release()
            self._lock = None

    def remove(self) -> None:
        """Stop the server and delete its data, also what lies outside of its folder."""
        data = self._data()
        self.stop()
        for folder in (data, self.folder):
            shutil.rmtree(folder, ignore_errors=True)
        if data.parent != self.folder:
            with contextlib.suppress(OSError):
                data.parent.rmdir()

    def kill(self) -> None:
        """Kill the server as a crash would: no warning, nothing flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def leftovers(self) -> list[int]:
        """Return the processes that work in the data folder: ours, or a killed owner's."""
        return leftovers.servers_in(self._data(), self.programs)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # What a server defines.

    @abstractmethod
    def _address(self, port: int, password: str) -> str:
        """Return the address that clients use."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make the data folder ready; called before every start."""

    @abstractmethod
    def _command(self, port: int) -> list[str]:
        """Return the command line, with the launcher in front."""

    @abstractmethod
    def _answers(self, port: int) -> bool:
        """Tell whether our server, known by its password, serves on the port."""

    @abstractmethod
    def _data(self) -> Path:
        """Return the folder in which the server's processes work."""

    @abstractmethod
    def _finish(self) -> None:
        """Do what needs a running server, after every start."""

    # What all share.

    def _state(self) -> dict[str, object]:
        return read_json(self.folder / "server.json") or {}

    def _remember(self, **changes: object) -> None:
        write_json(self.folder / "server.json", self._state() | changes)

    def _own(self) -> None:
        lock = self._lock or FolderLock(self.folder / "lock")
        if not lock.acquire():
            raise EmbeddedFailure(
                f"Process {lock.owner()} runs {self.name} in {self.folder} already. Stop it, or "
                "set DERMSYNTH_HOME to another folder.",
                code="embedded_folder_taken",
            )
        self._lock = lock

    def _end_leftovers(self) -> None:
        leftovers.end(self.leftovers, self.stop_signal, self.leftover_seconds)

    def _start_on_a_port(self) -> None:
        for _ in range(PORT_TRIES):
            port = self._choose_port()
            self._launch(port)
            if self._wait(port):
                self._port = port
                self._remember(port=port)
                return
        raise EmbeddedFailure(f"{self.name} found its port taken {PORT_TRIES} times.")

    def _choose_port(self) -> int:
        """Return the port that clients know already, else the one of the last run or a new one."""
        if self._port is None:
            last = self._state().get("port")
            return free_port(last if isinstance(last, int) else None)
        deadline = time.monotonic() + 10.0
        while not is_free(self._port):
            if time.monotonic() > deadline:
                raise EmbeddedFailure(
                    f"Port {self._port} of {self.name} was taken by another program."
                )
            time.sleep(0.1)
        return self._port

    def _launch(self, port: int) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environment(),
                start_new_session=True,  # Ctrl-C goes to us, who stop it in order
            )

    def _wait(self, port: int) -> bool:
        """Wait until our server answers; False when another program took the port meanwhile."""
        deadline = time.monotonic() + READY_SECONDS
        pause = 0.01
        while time.monotonic() < deadline:
            if not self.alive():
                if not is_free(port):
                    return False
                raise EmbeddedFailure(f"{self.name} ended at its start: {tail(self.log)}")
            if self._answers(port):
                return True
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        raise EmbeddedFailure(f"{self.name} gave no answer in {READY_SECONDS} s: {tail(self.log)}")


def environment() -> dict[str, str]:
    """Return this process's environment without what would configure a server."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_")) and name not in {"LANGUAGE", "LANG"}
    }


def run(identity: Identity, program: Sequence[str | Path], folder: Path) -> None:
    """Run a program to its end; EmbeddedFailure with its words when it fails."""
    ended = subprocess.run(
        identity.command(program, signal.SIGKILL),
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip()
        raise EmbeddedFailure(f"{Path(program[0]).name} failed ({ended.returncode}): {said}")


def tail(path: Path, lines: int = 8) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty log)"
