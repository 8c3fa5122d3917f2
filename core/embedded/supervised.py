"""One process that is started again whenever it ends, later each time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from core.embedded import paths
from core.embedded.identity import same
from core.embedded.processes import ProcessSpec
from core.embedded.server import tail

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_SECONDS = 60.0
"""A process that ran for as long as this has recovered: its next end counts as the first."""
LOG_BYTES = 50 * 1024**2


class Supervised:
    """A process with a log file; it dies with the thread that started it."""

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str], log: Path) -> None:
        self.spec = spec
        self.ends_in_a_row = 0
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._not_before = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def last_words(self) -> str:
        return tail(self._log)

    def start(self) -> None:
        """Start the process, in a session of its own."""
        self._turn_log()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # When the parent is killed the servers go too: there is nothing left to finish.
                same().command(self.spec.command, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=paths.checkout(),
                env=os.environ | self._environment,
                start_new_session=True,
                pass_fds=self.spec.descriptors,
            )
        self._started = time.monotonic()

    def look_after(self) -> str | None:
        """Start the process again if it has ended and its pause is over; returns what happened."""
        self._turn_log()
        now = time.monotonic()
        if self._process is not None and (code := self._process.poll()) is not None:
            if now - self._started > STEADY_SECONDS:
                self.ends_in_a_row = 0
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self.ends_in_a_row)
            self.ends_in_a_row += 1
            self._not_before = now + pause
            self._end_group()
            self._process = None
            return f"{self.spec.name} ended with {code}; starts again in {pause:g} s"
        if self._process is None and now >= self._not_before:
            self.start()
            return f"{self.spec.name} started as {self.pid}"
        return None

    def ask_to_stop(self) -> None:
        if self.alive() and self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Wait for a process that was asked to stop; kill its group when it does not follow."""
        if self._process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(self.spec.stop_seconds)
        self._end_group()
        self._process.wait()
        self._process = None

    def _end_group(self) -> None:
        """Kill what the process left behind in its session's group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _turn_log(self) -> None:
        """Keep one old log and empty the current one when it is large; writers append."""
        with contextlib.suppress(FileNotFoundError):
            if self._log.stat().st_size > LOG_BYTES:
                old = self._log.with_suffix(".log.1")
                old.write_bytes(self._log.read_bytes())
                os.truncate(self._log, 0)
