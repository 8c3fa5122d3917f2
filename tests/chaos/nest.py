"""Starts processes of the service: as commands, or forked from one that has imported everything.

A fork is the same process, two CPU seconds earlier: the small campaign can afford to kill many. The
full campaign runs the commands as a service manager does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Protocol

PRELOADED = [
    "api.main", "uvicorn", "celery.bin.celery", "celery.apps.worker", "celery.concurrency.prefork",
    "kombu.transport.redis", "core.jobs.runtime", "core.services.commit", "worker.supervisor",
    "worker.nursery", "worker.reaper", "worker.capabilities", "psycopg",
]  # fmt: skip


class Started(Protocol):
    """What the campaign does with a process that it has started."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


def command(
    arguments: list[str], environment: dict[str, str], log: Path, listener: socket.socket
) -> Started:
    """Run ``python ARGUMENTS`` as a service manager does."""
    with log.open("ab") as output:
        return subprocess.Popen(
            arguments,
            env=environment,
            cwd=environment["PYTHONPATH"].rpartition(os.pathsep)[2],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[listener.fileno()],
        )


class Forked:
    """A process that a fork server has made."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid: int = process.pid

    def poll(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def forked(
    arguments: list[str], environment: dict[str, str], log: Path, listener: socket.socket
) -> Started:
    """Run what ``python -m MODULE ...`` runs in a fork of the preloaded process."""
    process = _server().Process(
        target=_become, args=(arguments[2:], environment, str(log), listener), daemon=False
    )
    process.start()
    return Forked(process)


@lru_cache(maxsize=1)
def _server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def _become(
    arguments: list[str], environment: dict[str, str], log: str, listener: socket.socket
) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    _use(log)
    sys.path[:0] = environment["PYTHONPATH"].split(os.pathsep)[:1]
    from core.config import get_settings

    get_settings.cache_clear()
    time.tzset()
    module, *rest = arguments
    if "--fd" in rest:
        rest[rest.index("--fd") + 1] = str(listener.fileno())
    sys.argv = [module, *rest]
    _main(module)()


def _use(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, null), (1, output), (2, output)):
        os.dup2(source, target)


def _main(module: str) -> Callable[[], object]:
    if module == "api.main":
        from api.main import main

        return main
    from celery.__main__ import main as celery

    return celery  # type: ignore[no-any-return]
