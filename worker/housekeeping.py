"""What a worker does beside its slots: report itself, sweep, send web hooks, keep house."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from core.config import get_settings
from core.db.models import Worker
from core.db.repositories.jobs import NOW, seconds_from_now
from core.db.session import sessions
from core.ids import new_id
from core.services.housekeeping import keep_house
from worker import webhooks
from worker.capabilities import capabilities
from worker.gpus import gpus
from worker.hearing import listen
from worker.reaper import pause_before_next, sweep

log = logging.getLogger(__name__)

REPORT_SECONDS = 5.0
FORGET_SECONDS = 3600.0
LOOK_SECONDS = 60.0
"""How often a worker looks whether the slow round is due on the volume."""


def start(consumer: Any, queues: Sequence[str], slots: int) -> None:
    """Start all duties as daemon threads; ``consumer``: Celery's, of this process."""
    threading.Thread(target=_report, args=(list(queues), slots), daemon=True, name="report").start()
    threading.Thread(target=listen, args=(consumer, queues), daemon=True, name="hearing").start()
    threading.Thread(target=_sweep, daemon=True, name="reaper").start()
    webhooks.start()
    threading.Thread(target=_keep_house, daemon=True, name="housekeeping").start()


def _report(queues: list[str], slots: int) -> None:
    worker_id = new_id("wrk")
    while True:
        try:
            _report_once(worker_id, queues, slots)
        except SQLAlchemyError as error:
            log.warning("the worker could not report itself: %s", error)
        except Exception:  # this thread must outlive every surprise
            log.exception("the worker could not report itself")
        time.sleep(REPORT_SECONDS)


def _report_once(worker_id: str, queues: list[str], slots: int) -> None:
    settings = get_settings()
    now: dict[str, Any] = {"available": capabilities(settings), "gpus": gpus(settings)}
    row = {
        "id": worker_id,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "queues": queues,
        "slots": slots,
        **now,
    }
    with sessions().begin() as session:
        session.execute(
            insert(Worker)
            .values(**row)
            .on_conflict_do_update(index_elements=[Worker.id], set_={"last_seen": NOW, **now})
        )
        session.execute(
            delete(Worker).where(
                func.coalesce(Worker.last_seen, NOW) < seconds_from_now(-FORGET_SECONDS)
            )
        )


def _sweep() -> None:
    settings = get_settings()
    pause = settings.reaper_seconds
    while True:
        time.sleep(pause)
        pause = settings.reaper_seconds
        try:
            sweep(sessions(), settings)
            pause = pause_before_next(sessions(), settings)
        except SQLAlchemyError as error:
            log.warning("the reaper was disturbed: %s", error)
        except Exception:  # this thread must outlive every surprise
            log.exception("the reaper was disturbed")


def _keep_house() -> None:
    settings = get_settings()
    while True:
        time.sleep(min(LOOK_SECONDS, settings.housekeeping_hours * 3600))
        try:
            keep_house(sessions(), settings, due_only=True)
        except SQLAlchemyError as error:
            log.warning("housekeeping was disturbed: %s", error)
        except Exception:  # this thread must outlive every surprise
            log.exception("housekeeping was disturbed")
