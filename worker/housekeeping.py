"""What a worker does beside its slots: report itself, sweep, send web hooks, keep house."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from core.config import get_settings
from core.db.repositories import workers
from core.db.session import sessions
from core.ids import new_id
from core.services.housekeeping import keep_house
from worker import webhooks
from worker.capabilities import capabilities
from worker.duty import repeat
from worker.gpus import gpus
from worker.hearing import listen
from worker.reaper import pause_before_next, sweep

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
    report = partial(_report_once, new_id("wrk"), queues, slots)
    repeat(report, REPORT_SECONDS, "the worker could not report itself", at_once=True)


def _report_once(worker_id: str, queues: list[str], slots: int) -> None:
    settings = get_settings()
    now = {"available": capabilities(settings), "gpus": gpus(settings)}
    row = now | {
        "id": worker_id,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "queues": queues,
        "slots": slots,
    }
    with sessions().begin() as session:
        workers.report(session, row, changing=tuple(now))
        workers.forget_silent(session, FORGET_SECONDS)


def _sweep() -> None:
    settings = get_settings()

    def once() -> float:
        sweep(sessions(), settings)
        return pause_before_next(sessions(), settings)

    repeat(once, settings.reaper_seconds, "the reaper was disturbed")


def _keep_house() -> None:
    settings = get_settings()

    def once() -> None:
        keep_house(sessions(), settings, due_only=True)

    pause = min(LOOK_SECONDS, settings.housekeeping_hours * 3600)
    repeat(once, pause, "housekeeping was disturbed")
