"""The processes of one worker, told apart: main, slots, zygotes, jobs."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.nest import Started
from tests.integration.harness import command_of, descendants


@dataclass
class WorkerProcess:
    """A started worker."""

    process: Started

    @property
    def pid(self) -> int:
        return self.process.pid

    def tree(self) -> dict[str, list[int]]:
        """Return all living processes by role."""
        found: dict[str, list[int]] = {"worker": [self.pid], "slot": [], "zygote": [], "job": []}
        for pid in descendants(self.pid)[1:]:
            if "worker.zygote" not in command_of(pid):
                found["slot"].append(pid)
            elif _leads_a_session(pid):
                found["job"].append(pid)
            else:
                found["zygote"].append(pid)
        return found

    def slot_names(self) -> list[str]:
        """Return what the slots call themselves in the database."""
        return [slot_name(pid) for pid in self.tree()["slot"]]

    def signal_all(self, number: int) -> None:
        for pid in descendants(self.pid):
            send(pid, number)

    def end(self) -> None:
        """Kill everything, whatever state it is in."""
        found = descendants(self.pid)
        for pid in found:
            send(pid, signal.SIGKILL)
        self.process.wait()


def slot_name(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}"


def send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def slot_of(pid: int) -> int:
    """Return the slot to which a zygote or a job process belongs."""
    while "worker.zygote" in command_of(pid):
        pid = parent_of(pid)
    return pid


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _leads_a_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False
