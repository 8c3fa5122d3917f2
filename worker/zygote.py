"""The preloaded parent of job processes: ``python -m worker.zygote --fd N --profile torch``.

It imports what jobs of its profile need, once, and then forks one process a job in milliseconds. It
never opens a database connection, never calls CUDA and starts no thread. Over a Unix socket it gets
``{"run": true}`` together with the job's own socket, its log file and a file that holds its task,
or ``{"kill": <signal>}``; it answers ``{"ready": true}``, ``{"pid": n}`` and
``{"exit": <wait status>}``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

from core.jobs.spec import JOB_KINDS
from core.processes import die_with_parent

PRELOADED: dict[str, tuple[str, ...]] = {
    "light": ("numpy", "PIL.Image", "pyarrow.parquet", "cv2"),
    "torch": (
        "numpy",
        "PIL.Image",
        "pyarrow.parquet",
        "cv2",
        "scipy.linalg",
        "sklearn.linear_model",
        "sklearn.ensemble",
        "sklearn.model_selection",
        "sklearn.pipeline",
        "skops.io",
        "jinja2",
        "matplotlib.backends.backend_agg",
        "torch",
    ),
}
MESSAGE_BYTES = 64 * 1024


def preload(profile: str) -> None:
    """Import the modules of a profile and all job kinds."""
    JOB_KINDS.load()
    for name in PRELOADED[profile]:
        importlib.import_module(name)


class Zygote:
    """Forks jobs on request, one at a time, and reports how they ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._child: int | None = None
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(self._wake_read, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Work until the supervisor closes its end of the control socket."""
        self._say({"ready": True})
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._control, selectors.EVENT_READ)
            waiting.register(self._wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in waiting.select():
                    if key.fileobj is self._control:
                        if not self._obey():
                            return
                    else:
                        with suppress(BlockingIOError):
                            os.read(self._wake_read, 4096)
                        self._reap()

    def _obey(self) -> bool:
        message, descriptors = receive(self._control)
        if message is None:
            self._kill(signal.SIGKILL)
            return False
        if "run" in message:
            self._fork(descriptors)
        elif "kill" in message:
            self._kill(message["kill"])
        return True

    def _fork(self, descriptors: list[int]) -> None:
        link, log, task = descriptors
        parent = os.getpid()
        # a signal that comes before the child can take it waits
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        pid = os.fork()
        if pid == 0:
            from worker.child import main

            signal.set_wakeup_fd(-1)
            self._control.close()
            main(task, socket.socket(fileno=link), log, parent)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for descriptor in descriptors:
            os.close(descriptor)
        self._child = pid
        self._say({"pid": pid})

    def _kill(self, number: int) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child, number)
            with suppress(ProcessLookupError):
                os.kill(self._child, number)  # before its setsid it leads no group

    def _reap(self) -> None:
        if self._child is None:
            return
        ended = os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child, signal.SIGKILL)  # what the job may have left behind
        _, status = os.waitpid(self._child, 0)
        self._child = None
        self._say({"exit": status})

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            sys.exit(0)


def send(control: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
    """Send one length-prefixed message with file descriptors."""
    body = json.dumps(message).encode()
    header = len(body).to_bytes(8, "big")
    if descriptors:
        socket.send_fds(control, [header], descriptors)
    else:
        control.sendall(header)
    control.sendall(body)


def receive(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Receive one message of :func:`send`; None when the other side has closed."""
    header, descriptors, _, _ = socket.recv_fds(control, 8, 4)
    if not header:
        return None, []
    while len(header) < 8:
        header += _some(control, 8 - len(header))
    length = int.from_bytes(header, "big")
    if length > MESSAGE_BYTES:
        raise ValueError(f"a message of {length} bytes")
    body = bytearray()
    while len(body) < length:
        body += _some(control, min(1 << 20, length - len(body)))
    decoded: dict[str, Any] = json.loads(bytes(body))
    return decoded, list(descriptors)


def _some(control: socket.socket, most: int) -> bytes:
    data = control.recv(most)
    if not data:
        raise ConnectionError("the supervisor closed its socket within a message")
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--profile", choices=sorted(PRELOADED), required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    # a terminal's Ctrl-C and an init system's SIGTERM go to all processes; the supervisor decides
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=arguments.fd)
    preload(arguments.profile)
    Zygote(control).serve()


if __name__ == "__main__":
    main()
