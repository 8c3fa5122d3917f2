"""A worker that hears no hints although jobs wait connects to its broker anew.

A connection may go dark without an end that this host is told of (a vanished broker behind a load
balancer, a firewall that has forgotten it), and then nothing would ever arrive.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from typing import Any

from core.config import Settings, get_settings
from core.db.repositories import jobs
from core.db.session import reads
from worker.duty import repeat

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
LOOKS = 3
"""A slot without a job in so many looks is idle; between two jobs it has none for a moment."""


class Hearing:
    """What was seen of a worker's slots since it last heard a hint."""

    def __init__(self) -> None:
        self._heard = False
        self._idle: list[set[str]] = []

    def hear(self) -> None:
        self._heard = True

    def look(self, idle: set[str]) -> bool:
        """Note the slots that are idle while jobs wait; True when one has been in all LOOKS."""
        self._idle = [] if self._heard else [*self._idle, idle][-LOOKS:]
        self._heard = False
        deaf = len(self._idle) == LOOKS and bool(set.intersection(*self._idle))
        if deaf:
            self._idle = []
        return deaf


hearing = Hearing()


def listen(consumer: Any, queues: Sequence[str]) -> None:
    """Look every few seconds, for ever; ``consumer``: Celery's, of this process."""
    settings = get_settings()
    patience = deaf_seconds(settings)

    def look() -> None:
        if hearing.look(idle_slots(slots_of(consumer), queues, patience)):
            log.warning(
                "jobs wait on %s for %g s and no hint comes: connecting to the broker anew",
                ", ".join(queues),
                patience,
            )
            consumer.call_soon(_hang_up)

    repeat(look, min(LOOK_SECONDS, patience), "it is unknown whether jobs wait")


def deaf_seconds(settings: Settings) -> float:
    """Return after how long a due job's hint has surely been sent again."""
    return settings.hint_age_seconds + 2 * settings.reaper_seconds


def slots_of(consumer: Any) -> list[str]:
    """Return the names of this worker's slots, as leases hold them."""
    return [f"{socket.gethostname()}:{pid}" for pid in consumer.pool.info["processes"]]


def idle_slots(slots: Sequence[str], queues: Sequence[str], seconds: float) -> set[str]:
    """Return the slots that hold no lease while a job has been due for so long."""
    with reads()() as session:
        if not jobs.overlooked(session, queues, seconds):
            return set()
        return set(slots) - jobs.busy_slots(session, slots)


def _hang_up() -> None:
    # raised in Celery's event loop, which answers errors of the connection with a new one
    raise ConnectionResetError(f"worker {os.getpid()} hears nothing from its broker")
