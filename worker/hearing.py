"""A worker that hears no hints although jobs wait connects to its broker anew.

A connection may go dark without an end that this host is told of (a vanished broker behind a load
balancer, a firewall that has forgotten it), and then nothing would ever arrive.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from core.config import Settings, get_settings
from core.db.repositories import jobs
from core.db.session import reads

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0


def listen(consumer: Any, queues: Sequence[str]) -> None:
    """Look every few seconds, for ever; ``consumer``: Celery's, of this process."""
    settings = get_settings()
    patience = deaf_seconds(settings)
    while True:
        time.sleep(min(LOOK_SECONDS, patience))
        try:
            if is_deaf(slots_of(consumer), queues, patience):
                log.warning(
                    "jobs wait on %s for %g s and no hint comes: connecting to the broker anew",
                    ", ".join(queues),
                    patience,
                )
                consumer.call_soon(_hang_up)
                time.sleep(patience)
        except SQLAlchemyError as error:
            log.warning("it is unknown whether jobs wait: %s", error)
        except Exception:  # this thread must outlive every surprise
            log.exception("it is unknown whether jobs wait")


def deaf_seconds(settings: Settings) -> float:
    """Return after how long a due job's hint has surely been sent again."""
    return settings.hint_age_seconds + 2 * settings.reaper_seconds


def slots_of(consumer: Any) -> list[str]:
    """Return the names of this worker's slots, as leases hold them."""
    return [f"{socket.gethostname()}:{pid}" for pid in consumer.pool.info["processes"]]


def is_deaf(slots: Sequence[str], queues: Sequence[str], seconds: float) -> bool:
    """Tell whether a job has been due for so long while one of the slots does nothing."""
    with reads()() as session:
        if jobs.running_of(session, slots) >= len(slots):
            return False
        return jobs.overlooked(session, queues, seconds)


def _hang_up() -> None:
    # raised in Celery's event loop, which answers errors of the connection with a new one
    raise ConnectionResetError(f"worker {os.getpid()} hears nothing from its broker")
