"""A slot's zygote, seen from the slot: start it, hand it jobs, notice its death."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from core.errors import WorkerLost
from core.storage.blobs import disk_errors
from worker.zygote import send


def _in_memory(text: str) -> IO[bytes]:
    """Return an anonymous file with the text, from its start; it needs no disk and has no limit."""
    file = os.fdopen(os.memfd_create("task"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


class Nursery:
    """One zygote process; spawned from the slot's main thread, because it dies with that."""

    def __init__(self, profile: str) -> None:
        self._profile = profile
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._buffer = b""

    @property
    def control(self) -> socket.socket:
        """The socket of the zygote that was started last; WorkerLost once it is known dead."""
        if self._control is None:
            raise WorkerLost("The zygote died, and its job with it")
        return self._control

    def open(self) -> socket.socket:
        """Return the control socket of a living zygote, spawning one when there is none.

        Only between two jobs: a zygote that takes the place of one with a job hides its death.
        """
        if self._process is not None and self._process.poll() is None and self._control:
            return self._control
        self.close()
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "worker.zygote",
                "--fd", str(theirs.fileno()),
                "--profile", self._profile,
                "--parent", str(os.getpid()),
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # threads that wait by spinning starve other slots' jobs; torch reads it when it starts
            env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
        )  # fmt: skip
        theirs.close()
        self._control, self._buffer = ours, b""
        return ours

    def start(self, task: str, log: Path) -> socket.socket:
        """Fork a job process for a task; returns the slot's end of its socket.

        WorkerLost when the zygote is dead, StorageFull when there is no room for the log.
        """
        control = self.open()
        with disk_errors():
            log.parent.mkdir(parents=True, exist_ok=True)
            file = log.open("ab")
        ours, theirs = socket.socketpair()
        with file, theirs:
            try:
                with _in_memory(task) as given:
                    send(control, {"run": True}, [theirs.fileno(), file.fileno(), given.fileno()])
            except OSError as error:
                ours.close()
                self.close()
                raise WorkerLost("The zygote died before the job began") from error
        return ours

    def kill(self, number: int) -> None:
        """Send a signal to the job's process group."""
        if self._control is not None:
            with suppress(OSError):
                send(self._control, {"kill": number}, [])

    def messages(self) -> Iterator[dict[str, Any]]:
        """Read what has arrived on the control socket; WorkerLost when the zygote is dead."""
        try:
            data = self.control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.close()
            raise WorkerLost("The zygote died, and its job with it")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def close(self) -> None:
        """End the zygote and, with it, its job."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
                self._process.wait()
            self._process = None
